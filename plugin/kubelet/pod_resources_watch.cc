#include "plugin/kubelet/pod_resources_watch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace npu_ipc::kubelet {

PodResourcesWatch::PodResourcesWatch(const PodResourcesSettings& settings,
                                     std::shared_ptr<AllocationTracker> tracker, const Clock& clock)
    : settings_(settings),
      tracker_(std::move(tracker)),
      clock_(clock),
      client_(settings.socket, settings.timeout),
      interval_(settings.interval) {}

PodResourcesWatch::~PodResourcesWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  client_.Cancel();
  if (thread_.joinable()) thread_.join();
}

void PodResourcesWatch::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PodResourcesWatch::AskSoon() {
  {
    const std::lock_guard lock(mutex_);
    asked_ = true;
  }
  changed_.notify_all();
}

void PodResourcesWatch::SetInterval(Duration interval) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(interval_, interval) == interval) return;
    asked_ = true;  // the wait under way may be a much longer one
  }
  changed_.notify_all();
}

Duration PodResourcesWatch::Interval() {
  const std::lock_guard lock(mutex_);
  return interval_;
}

void PodResourcesWatch::Run() {
  StatusCode reported = StatusCode::kOk;
  Duration retry = settings_.unsettled_interval;
  Duration delay{};
  Duration at_least{};
  while (Wait(delay, at_least)) {
    const TimePoint asked = clock_.Now();
    const Result<std::vector<ContainerDevices>> answer = client_.List();
    if (Stopping()) return;  // the call was cut short
    tracker_->Observe(answer, asked);
    if (const StatusCode code = answer.status().code(); code != reported) {
      reported = code;
      if (answer.ok()) {
        spdlog::info("the kubelet says again who holds which device: socket={}", settings_.socket);
      } else {
        spdlog::warn("not known who holds which device: reason={}", answer.status().message());
      }
    }
    if (answer.ok()) {
      retry = at_least = settings_.unsettled_interval;
      delay = tracker_->Unsettled() ? settings_.unsettled_interval : Interval();
    } else {
      delay = at_least = retry;
      retry = std::min(2 * retry, Interval());
    }
  }
}

bool PodResourcesWatch::Stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool PodResourcesWatch::Wait(Duration delay, Duration at_least) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, at_least, [this] { return stopping_; })) return false;
  const Duration rest = std::max(delay - at_least, Duration::zero());
  changed_.wait_for(lock, rest, [this] { return stopping_ || asked_; });
  asked_ = false;
  return !stopping_;
}

}  // namespace npu_ipc::kubelet
