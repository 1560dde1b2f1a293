#include "hal/sim/libruntime/stream.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "hal/sim/libruntime/event.h"

namespace npu_ipc::sim {
namespace {

// A thread inherits its creator's mask. The program's signals are for the program's threads.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

RtResult<std::shared_ptr<Stream>> Stream::Create(int32_t id) {
  std::shared_ptr<Stream> stream(new Stream(id));
  const AllSignalsBlocked blocked;
  try {
    stream->thread_ = std::thread([raw = stream.get()] { raw->ThreadMain(); });
  } catch (const std::system_error& error) {
    return RtStatus(ACL_ERROR_RT_NO_STREAM_RESOURCE,
                    std::string("cannot start a stream: ") + error.what());
  }
  return stream;
}

Stream::~Stream() { Abort(); }

void Stream::Run(Work work) {
  Task task;
  task.work = std::move(work);
  Queue(std::move(task));
}

void Stream::RunAlways(Work work) {
  Task task;
  task.work = std::move(work);
  task.always = true;
  Queue(std::move(task));
}

void Stream::WaitFor(std::shared_ptr<Event> event, uint64_t mark) {
  event->AddWaiter(weak_from_this(), mark);
  Task task;
  task.event = std::move(event);
  task.mark = mark;
  Queue(std::move(task));
}

void Stream::Queue(Task task) {
  bool refused = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    refused = stopping_;
    if (!refused) {
      tasks_.push_back(std::move(task));
      ++queued_;
    }
  }
  if (refused) {
    RunTask(task, true);
    return;
  }
  to_do_.notify_one();
}

void Stream::Wake() {
  // Under the mutex: between its look at the event and its wait, the thread must not miss this.
  std::lock_guard<std::mutex> lock(mutex_);
  to_do_.notify_one();
}

void Stream::ThreadMain() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    to_do_.wait(lock, [this] {
      if (tasks_.empty()) return stopping_;
      const Task& next = tasks_.front();
      return aborting_ || next.event == nullptr || next.event->HasReached(next.mark);
    });
    if (tasks_.empty()) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    const bool aborted = aborting_;
    lock.unlock();
    RunTask(task, aborted);
    task = {};  // what it held on to goes before anybody hears that it has run
    lock.lock();
    ++completed_;
    done_.notify_all();
  }
}

void Stream::RunTask(Task& task, bool aborted) {
  if (task.event != nullptr) task.event->WaitHasEnded();
  if (task.work == nullptr || (aborted && !task.always)) return;
  RtStatus status = task.work();
  if (status.ok()) return;
  std::lock_guard<std::mutex> lock(mutex_);
  if (first_failure_.ok()) first_failure_ = std::move(status);
}

RtStatus Stream::Synchronize(int32_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  const uint64_t target = queued_;
  const auto reached = [this, target] { return completed_ >= target; };
  if (timeout_ms <= 0) {
    done_.wait(lock, reached);
  } else if (!done_.wait_for(lock, std::chrono::milliseconds(timeout_ms), reached)) {
    return RtStatus(ACL_ERROR_RT_STREAM_SYNC_TIMEOUT, "stream " + std::to_string(id_) +
                                                          " has not finished within " +
                                                          std::to_string(timeout_ms) + " ms");
  }
  return std::exchange(first_failure_, RtStatus());
}

bool Stream::IsIdle() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return completed_ == queued_;
}

void Stream::Finish() { Stop(false); }

void Stream::Abort() { Stop(true); }

void Stream::Stop(bool abort) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    if (abort) aborting_ = true;
    to_do_.notify_one();
  }
  std::lock_guard<std::mutex> lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

}  // namespace npu_ipc::sim
