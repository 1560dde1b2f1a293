// When a wait ends. Every wait of this library has one.
#pragma once

#include <stdint.h>
#include <time.h>

namespace npu_ipc::runtime {

// Nanoseconds of the monotonic clock.
inline uint64_t MonotonicNanoseconds() {
  struct timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000U + static_cast<uint64_t>(now.tv_nsec);
}

class Deadline {
 public:
  // UINT32_MAX (NPU_IPC_FOREVER): never.
  static Deadline After(uint32_t milliseconds) {
    return milliseconds == UINT32_MAX ? Never() : Deadline(MonotonicNanoseconds(), milliseconds);
  }
  // `milliseconds` after an instant of the monotonic clock.
  static Deadline From(uint64_t nanoseconds, uint32_t milliseconds) {
    return Deadline(nanoseconds, milliseconds);
  }
  // The instant whose milliseconds of the monotonic clock, modulo 2^32, those are; passed already
  // where it is further ahead than `at_most`.
  static Deadline AtInstant(uint32_t milliseconds, uint32_t at_most) {
    const uint64_t now = MonotonicNanoseconds();
    const uint32_t ahead = milliseconds - static_cast<uint32_t>(now / 1000000U);
    return Deadline(now, ahead <= at_most ? ahead : 0);
  }
  static Deadline Never() { return Deadline(UINT64_MAX, 0); }

  bool never() const { return at_ == UINT64_MAX; }
  bool Passed() const { return !never() && MonotonicNanoseconds() >= at_; }
  // The instant, of the monotonic clock; UINT64_MAX: never.
  uint64_t at() const { return at_; }
  // UINT64_MAX: never.
  uint64_t RemainingNanoseconds() const {
    if (never()) return UINT64_MAX;
    const uint64_t now = MonotonicNanoseconds();
    return now >= at_ ? 0 : at_ - now;
  }
  // UINT32_MAX: never.
  uint32_t RemainingMilliseconds() const {
    if (never()) return UINT32_MAX;
    const uint64_t remaining = RemainingNanoseconds() / 1000000U;
    return remaining < UINT32_MAX ? static_cast<uint32_t>(remaining) : UINT32_MAX - 1;
  }
  // The earlier of this and `milliseconds` from now.
  Deadline AtMost(uint32_t milliseconds) const {
    const Deadline other = After(milliseconds);
    return other.at_ < at_ ? other : *this;
  }

 private:
  Deadline(uint64_t nanoseconds, uint32_t milliseconds)
      : at_(nanoseconds + uint64_t{milliseconds} * 1000000U) {}

  uint64_t at_;
};

}  // namespace npu_ipc::runtime
