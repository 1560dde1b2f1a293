// Ends calls to the API server at their deadline, or when they are cancelled, whatever they are
// doing: connecting, shaking hands, writing, or reading one byte a second.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "hal/base/clock.h"
#include "hal/base/fd.h"
#include "plugin/cluster/canceller.h"

namespace npu_ipc::cluster {

// Shuts a call's socket down, from a thread of its own: whatever blocks on it then returns with an
// error. The HTTP library's own timeouts start anew with every byte, and nothing else in it can be
// interrupted. Safe for concurrent use; must outlive its calls.
class CallSupervisor {
 public:
  enum class EndedBy { kItself, kCanceller, kDeadline };

  CallSupervisor();
  ~CallSupervisor();
  CallSupervisor(const CallSupervisor&) = delete;
  CallSupervisor& operator=(const CallSupervisor&) = delete;

  // A call under way, from construction to destruction. Used by the thread that makes the call.
  class Call {
   public:
    // `canceller` may be null; it must outlive the call.
    Call(CallSupervisor& supervisor, Canceller* canceller, TimePoint deadline);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    // The call goes on through `fd`, which stays the caller's: a duplicate is kept.
    void UseSocket(int fd);
    void SetDeadline(TimePoint deadline);
    EndedBy ended_by() const;

   private:
    friend class CallSupervisor;
    CallSupervisor& supervisor_;
    Canceller* const canceller_;
    Canceller::ListenerId listener_ = 0;
    // Guarded by supervisor_.mutex_:
    TimePoint deadline_;
    UniqueFd socket_;
    EndedBy ended_by_ = EndedBy::kItself;
  };

 private:
  void Run();
  void Wake();
  // When to look at `call` again; ends it if its time has come. REQUIRES: mutex_ is held.
  TimePoint LookAt(Call& call, TimePoint now);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;   // guarded by mutex_
  std::set<Call*> calls_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace npu_ipc::cluster
