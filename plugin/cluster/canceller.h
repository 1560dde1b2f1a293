// Ends, from another thread, whatever a component does or waits for.
#pragma once

#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>

#include "hal/base/clock.h"

namespace npu_ipc::cluster {

// Safe for concurrent use. Cancelled once, for good.
class Canceller {
 public:
  Canceller() = default;
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  void Cancel();
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // Returns after `duration`, or as soon as it is cancelled.
  void WaitFor(Duration duration);

  // Calls `listener` when it is cancelled, on the thread that cancels; never when it already is:
  // check cancelled() afterwards. The listener must not call this object.
  using ListenerId = uint64_t;
  ListenerId AddListener(std::function<void()> listener);
  // The listener is not running, and never runs again, when it returns.
  void RemoveListener(ListenerId id);

 private:
  std::atomic<bool> cancelled_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  ListenerId next_id_ = 1;                                 // guarded by mutex_
  std::map<ListenerId, std::function<void()>> listeners_;  // guarded by mutex_
};

// How a component's own thread pauses between two attempts. Tests put their own in its place, to
// see the pauses and to skip them.
using PauseFunction = std::function<void(Canceller& canceller, Duration duration)>;
void Pause(Canceller& canceller, Duration duration);  // canceller.WaitFor(duration)

}  // namespace npu_ipc::cluster
