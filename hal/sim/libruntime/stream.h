// A stream: work that runs in order on a thread of its own, whether somebody waits for it or not.
#pragma once

#include <stdint.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

class Event;

// Safe for concurrent use. Whoever created it calls Finish() or Abort() before the last reference
// goes.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  using Work = std::function<RtStatus()>;

  // Starts the thread, with every signal blocked. 207008 when the process may have no more threads.
  static RtResult<std::shared_ptr<Stream>> Create(int32_t id);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int32_t id() const { return id_; }

  // Runs `work` after everything queued before. Its failure is kept for Synchronize(); what comes
  // after it runs all the same (ACL_CONTINUE_ON_FAILURE).
  void Run(Work work);
  // As Run(), and it runs also when the stream is aborted: for what others wait for.
  void RunAlways(Work work);
  // Holds back what is queued after, until `event` has reached `mark`.
  void WaitFor(std::shared_ptr<Event> event, uint64_t mark);
  // Look again: an event that this stream may be waiting for has come further.
  void Wake();

  // Waits for what was queued before this call and returns the first failure that no other call has
  // returned. `timeout_ms` -1 or 0: for ever; 507046 when it ends before.
  RtStatus Synchronize(int32_t timeout_ms);
  // Whether everything queued has run.
  bool IsIdle() const;

  // Ends the thread: after everything queued, or without it. Other calls do nothing after these.
  void Finish();
  void Abort();

 private:
  struct Task {
    Work work;
    bool always = false;
    std::shared_ptr<Event> event;  // a wait, when set
    uint64_t mark = 0;
  };

  explicit Stream(int32_t id) : id_(id) {}
  void Queue(Task task);
  void ThreadMain();
  void RunTask(Task& task, bool aborted);
  void Stop(bool abort);

  const int32_t id_;
  std::mutex join_mutex_;
  std::thread thread_;  // guarded by join_mutex_ once it runs

  mutable std::mutex mutex_;
  std::condition_variable to_do_;
  std::condition_variable done_;
  // Guarded by mutex_.
  std::deque<Task> tasks_;
  uint64_t queued_ = 0;
  uint64_t completed_ = 0;
  bool stopping_ = false;
  bool aborting_ = false;
  RtStatus first_failure_;
};

}  // namespace npu_ipc::sim
