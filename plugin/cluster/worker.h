// A thread of a component's own, for what has to wait: for answers, for the time, for something to
// do.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "hal/base/clock.h"
#include "plugin/cluster/canceller.h"

namespace npu_ipc::cluster {

// Takes one step after another until it is destroyed. Safe for concurrent use, but for the
// destructor.
class Worker {
 public:
  // When to take the next step, unless woken before; nullopt: not until woken. Called on the
  // worker's thread, without a lock; what it waits for must end when `canceller` is cancelled.
  using Step = std::function<std::optional<TimePoint>(Canceller& canceller)>;

  // The first step is taken at once. Make it the last member of its owner: a step may use the
  // others from then on.
  explicit Worker(Step step);
  // Cancels the step under way and waits for it to end.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // A step is taken as soon as the one under way, if any, has ended.
  void Wake();

 private:
  void Run();

  const Step step_;
  Canceller canceller_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = true;     // guarded by mutex_
  bool stopped_ = false;  // guarded by mutex_

  std::thread thread_;
};

}  // namespace npu_ipc::cluster
