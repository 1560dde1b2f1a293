#include "plugin/cluster/worker.h"

#include <utility>

namespace npu_ipc::cluster {

Worker::Worker(Step step) : step_(std::move(step)), thread_([this] { Run(); }) {}

Worker::~Worker() {
  canceller_.Cancel();
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Worker::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void Worker::Run() {
  std::optional<TimePoint> next;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const auto has_to = [this] { return stopped_ || woken_; };
      if (next) {
        changed_.wait_until(lock, *next, has_to);
      } else {
        changed_.wait(lock, has_to);
      }
      if (stopped_) return;
      woken_ = false;
    }
    next = step_(canceller_);
  }
}

}  // namespace npu_ipc::cluster
