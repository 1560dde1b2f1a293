#include "plugin/cluster/call_supervisor.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

namespace npu_ipc::cluster {
namespace {

// A socket that is shut down before connect(2) connects all the same, and the HTTP library goes on
// to a host's next address: until the call is over, it is shut down again.
constexpr Duration kShutDownAgainAfter = std::chrono::milliseconds(5);
constexpr Duration kIdle = std::chrono::hours(1);

}  // namespace

CallSupervisor::CallSupervisor() : thread_([this] { Run(); }) {}

CallSupervisor::~CallSupervisor() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void CallSupervisor::Wake() {
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void CallSupervisor::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    const TimePoint now = SystemClock().Now();
    TimePoint next = now + kIdle;
    for (Call* call : calls_) next = std::min(next, LookAt(*call, now));
    changed_.wait_until(lock, next);
  }
}

TimePoint CallSupervisor::LookAt(Call& call, TimePoint now) {
  if (call.ended_by_ == EndedBy::kItself) {
    if (call.canceller_ != nullptr && call.canceller_->cancelled()) {
      call.ended_by_ = EndedBy::kCanceller;
    } else if (now >= call.deadline_) {
      call.ended_by_ = EndedBy::kDeadline;
    } else {
      return call.deadline_;
    }
  }
  if (call.socket_) ::shutdown(call.socket_.get(), SHUT_RDWR);
  return now + kShutDownAgainAfter;
}

CallSupervisor::Call::Call(CallSupervisor& supervisor, Canceller* canceller, TimePoint deadline)
    : supervisor_(supervisor), canceller_(canceller), deadline_(deadline) {
  if (canceller_ != nullptr) {
    listener_ = canceller_->AddListener([this] { supervisor_.Wake(); });
  }
  const std::lock_guard lock(supervisor_.mutex_);
  supervisor_.calls_.insert(this);
  supervisor_.changed_.notify_all();
}

CallSupervisor::Call::~Call() {
  {
    const std::lock_guard lock(supervisor_.mutex_);
    supervisor_.calls_.erase(this);
  }
  if (canceller_ != nullptr) canceller_->RemoveListener(listener_);
}

void CallSupervisor::Call::UseSocket(int fd) {
  UniqueFd duplicate(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  const std::lock_guard lock(supervisor_.mutex_);
  socket_ = std::move(duplicate);
}

void CallSupervisor::Call::SetDeadline(TimePoint deadline) {
  const std::lock_guard lock(supervisor_.mutex_);
  deadline_ = deadline;
  supervisor_.changed_.notify_all();
}

CallSupervisor::EndedBy CallSupervisor::Call::ended_by() const {
  const std::lock_guard lock(supervisor_.mutex_);
  return ended_by_;
}

}  // namespace npu_ipc::cluster
