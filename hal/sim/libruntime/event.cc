#include "hal/sim/libruntime/event.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "hal/sim/libruntime/stream.h"

namespace npu_ipc::sim {
namespace {

uint64_t NowMicroseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

void Event::Record(Stream& stream) {
  uint64_t mark = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    mark = ++recorded_;
  }
  stream.RunAlways([self = shared_from_this(), mark] {
    self->Reach(mark);
    return RtStatus();
  });
}

void Event::Reset(Stream& stream) {
  stream.RunAlways([self = shared_from_this()] {
    std::lock_guard<std::mutex> lock(self->mutex_);
    self->reset_ = self->recorded_;
    return RtStatus();
  });
}

void Event::Wait(Stream& stream) {
  uint64_t mark = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!IsRecorded() && order_ == Order::kRecordFirst) return;
    mark = IsRecorded() ? recorded_ : recorded_ + 1;
    ++open_waits_;
  }
  stream.WaitFor(shared_from_this(), mark);
}

void Event::Reach(uint64_t mark) {
  std::vector<Waiter> to_wake;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reached_ = std::max(reached_, mark);
    reached_at_us_ = NowMicroseconds();
    const auto due = std::partition(waiters_.begin(), waiters_.end(), [this](const Waiter& waiter) {
      return waiter.mark > reached_;
    });
    to_wake.assign(std::make_move_iterator(due), std::make_move_iterator(waiters_.end()));
    waiters_.erase(due, waiters_.end());
    reached_changed_.notify_all();
  }
  for (const Waiter& waiter : to_wake) {
    if (const std::shared_ptr<Stream> stream = waiter.stream.lock()) stream->Wake();
  }
}

bool Event::IsComplete() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return IsRecorded() && reached_ >= recorded_;
}

bool Event::WaitsHaveEnded() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return open_waits_ == 0;
}

RtStatus Event::Synchronize(int32_t timeout_ms) const {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!IsRecorded()) {
    if (order_ == Order::kRecordFirst) return {};
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                    "event " + std::to_string(id_) + " was never recorded: nothing to wait for");
  }
  const uint64_t mark = recorded_;
  const auto reached = [this, mark] { return reached_ >= mark; };
  if (timeout_ms <= 0) {
    reached_changed_.wait(lock, reached);
  } else if (!reached_changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), reached)) {
    return RtStatus(ACL_ERROR_RT_EVENT_SYNC_TIMEOUT, "event " + std::to_string(id_) +
                                                         " was not reached within " +
                                                         std::to_string(timeout_ms) + " ms");
  }
  return {};
}

RtResult<uint64_t> Event::Timestamp() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!IsRecorded() || reached_ < recorded_) {
    return RtStatus(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID,
                    "event " + std::to_string(id_) + " was not reached yet: it has no time");
  }
  return reached_at_us_;
}

bool Event::HasReached(uint64_t mark) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return reached_ >= mark;
}

void Event::AddWaiter(std::weak_ptr<Stream> waiter, uint64_t mark) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (reached_ < mark) waiters_.push_back({std::move(waiter), mark});
}

void Event::WaitHasEnded() {
  std::lock_guard<std::mutex> lock(mutex_);
  --open_waits_;
}

}  // namespace npu_ipc::sim
