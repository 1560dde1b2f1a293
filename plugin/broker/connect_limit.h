// How often a process may connect.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <algorithm>
#include <chrono>

#include "hal/base/clock.h"
#include "plugin/broker/id_map.h"

namespace npu_ipc::broker {

// To find out who has connected costs as much as several attaches: whoever connects and goes in a
// loop would have all of the broker's time. Not safe for concurrent use.
class ConnectLimit {
 public:
  // How soon one more may follow those at once.
  static constexpr Duration kEvery = std::chrono::milliseconds(25);

  // Whether the process that has `pid` may connect once more, of `at_once` within a moment.
  bool Take(pid_t pid, int64_t at_once, TimePoint now) {
    if (paid_until_.size() >= sweep_at_) Sweep(now);
    TimePoint& paid_until = paid_until_[pid];
    const TimePoint next = std::max(paid_until, now) + kEvery;
    if (next - now > at_once * kEvery) return false;
    paid_until = next;
    return true;
  }

 private:
  // Those that may connect as often as if they never had.
  void Sweep(TimePoint now) {
    absl::erase_if(paid_until_, [now](const auto& entry) { return entry.second <= now; });
    sweep_at_ = std::max<size_t>(64, 2 * paid_until_.size());
  }

  FlatMap<pid_t, TimePoint> paid_until_;
  size_t sweep_at_ = 64;
};

}  // namespace npu_ipc::broker
