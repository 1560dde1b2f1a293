// An event: a mark that streams pass, and that other streams and the host wait for.
#pragma once

#include <stdint.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

class Stream;

// Marks count up: each Record() makes one, which its stream reaches later. Safe for concurrent use.
class Event : public std::enable_shared_from_this<Event> {
 public:
  enum class Order {
    kAny,          // aclrtCreateEvent: a wait may be queued before the record that it waits for
    kRecordFirst,  // aclrtCreateEventExWithFlag: a wait before any record has nothing to wait for
  };

  Event(uint32_t id, Order order) : id_(id), order_(order) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  uint32_t id() const { return id_; }

  void Record(Stream& stream);
  // Once `stream` comes there, the event is as if it had never been recorded.
  void Reset(Stream& stream);
  // Makes `stream` wait for the last record so far.
  void Wait(Stream& stream);

  // Recorded, and the last record has been reached.
  bool IsComplete() const;
  // Whether every wait that was queued has ended.
  bool WaitsHaveEnded() const;
  // Waits for the last record so far. -1 or 0: for ever; 507047 when the time ends before. 107000
  // for an event of Order::kAny that was never recorded.
  RtStatus Synchronize(int32_t timeout_ms) const;
  // When the last record was reached, in microseconds of a clock that only goes up; 107006 before.
  RtResult<uint64_t> Timestamp() const;

  // For Stream.
  bool HasReached(uint64_t mark) const;
  // Wakes `waiter` when the event reaches `mark`, unless it has already.
  void AddWaiter(std::weak_ptr<Stream> waiter, uint64_t mark);
  void WaitHasEnded();

 private:
  void Reach(uint64_t mark);
  bool IsRecorded() const { return recorded_ > reset_; }  // REQUIRES: mutex_ is held

  struct Waiter {
    std::weak_ptr<Stream> stream;
    uint64_t mark;
  };

  const uint32_t id_;
  const Order order_;

  mutable std::mutex mutex_;
  mutable std::condition_variable reached_changed_;
  // Guarded by mutex_.
  uint64_t recorded_ = 0;
  uint64_t reached_ = 0;
  uint64_t reset_ = 0;  // marks up to this one are forgotten
  uint64_t reached_at_us_ = 0;
  uint64_t open_waits_ = 0;
  std::vector<Waiter> waiters_;
};

}  // namespace npu_ipc::sim
