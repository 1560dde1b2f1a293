// Time as a parameter, so that tests can move it by hand.
#pragma once

#include <chrono>

namespace npu_ipc {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// Implementations are safe for concurrent use.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;  // monotonic
};

// CLOCK_MONOTONIC; never destroyed.
const Clock& SystemClock();

}  // namespace npu_ipc
