// A lock and a wait word on futexes: nothing of libpthread, whose symbols moved between glibc
// versions, and nothing that a fork would have to reset (a child never takes our locks: api.cc).
#pragma once

#include <linux/futex.h>
#include <stdint.h>

#include <atomic>

#include "runtime/src/deadline.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {

// Waits while `word` is `expected`, until woken, until `deadline`, or for no reason at all.
inline void FutexWait(const std::atomic<uint32_t>& word, uint32_t expected, Deadline deadline) {
  struct timespec at = {};
  at.tv_sec = static_cast<time_t>(deadline.at() / 1000000000U);
  at.tv_nsec = static_cast<long>(deadline.at() % 1000000000U);
  SystemCall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
             deadline.never() ? nullptr : &at, nullptr, FUTEX_BITSET_MATCH_ANY);
}

inline void FutexWake(const std::atomic<uint32_t>& word, int waiters) {
  SystemCall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, waiters, nullptr, nullptr, 0);
}

// Held for a few table operations only, never across a vendor call or a wait.
class Mutex {
 public:
  constexpr Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() {
    uint32_t seen = kFree;
    if (state_.compare_exchange_strong(seen, kHeld, std::memory_order_acquire)) return;
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
      FutexWait(state_, kContended, Deadline::Never());
    }
  }
  void Unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kContended) FutexWake(state_, 1);
  }

 private:
  enum : uint32_t { kFree, kHeld, kContended };
  std::atomic<uint32_t> state_{kFree};
};

class MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// "Something under the lock has changed": read Current() under the lock, release the lock, wait.
class ChangeCount {
 public:
  constexpr ChangeCount() = default;
  uint32_t Current() const { return count_.load(std::memory_order_acquire); }
  // Returns when the count is no longer `seen`, at `deadline`, or earlier.
  void WaitWhile(uint32_t seen, Deadline deadline) const {
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    FutexWait(count_, seen, deadline);
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }
  void Announce() {
    count_.fetch_add(1, std::memory_order_seq_cst);
    // Either we see who waits, or they see the new count: most of the time nobody does.
    if (waiting_.load(std::memory_order_seq_cst) != 0) FutexWake(count_, INT32_MAX);
  }

 private:
  std::atomic<uint32_t> count_{0};
  mutable std::atomic<uint32_t> waiting_{0};
};

}  // namespace npu_ipc::runtime
