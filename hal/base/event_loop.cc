#include "hal/base/event_loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "hal/base/posix_error.h"

namespace npu_ipc {
namespace {

constexpr uint64_t kWakeId = 0;
constexpr int kEventsAtOnce = 512;

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::Create(const Clock& clock) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return PosixError(errno, "epoll_create1");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return PosixError(errno, "eventfd");
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return PosixError(errno, "epoll_ctl");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(clock, std::move(epoll), std::move(wake)));
}

EventLoop::EventLoop(const Clock& clock, UniqueFd epoll, UniqueFd wake)
    : clock_(clock), epoll_(std::move(epoll)), wake_(std::move(wake)) {}

EventLoop::~EventLoop() = default;

Result<EventLoop::WatchId> EventLoop::Watch(int fd, uint32_t epoll_events, EventCallback callback) {
  const WatchId id = next_id_++;
  epoll_event event = {};
  event.events = epoll_events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return PosixError(errno, "epoll_ctl ADD");
  }
  watches_.emplace(id, std::make_shared<WatchEntry>(WatchEntry{fd, std::move(callback)}));
  return id;
}

void EventLoop::SetEvents(WatchId id, uint32_t epoll_events) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  epoll_event event = {};
  event.events = epoll_events;
  event.data.u64 = id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second->fd, &event);
}

void EventLoop::Unwatch(WatchId id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->fd, nullptr);
  watches_.erase(found);
}

EventLoop::TimerId EventLoop::RunAfter(Duration delay, Task task) {
  const TimerId id = next_id_++;
  const TimePoint deadline = clock_.Now() + std::max(delay, Duration::zero());
  timers_.emplace(std::pair(deadline, id), std::move(task));
  timer_deadlines_.emplace(id, deadline);
  return id;
}

void EventLoop::Cancel(TimerId id) {
  const auto found = timer_deadlines_.find(id);
  if (found == timer_deadlines_.end()) return;
  timers_.erase(std::pair(found->second, id));
  timer_deadlines_.erase(found);
}

void EventLoop::Post(Task task) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  // A full counter (EAGAIN) means that the loop is going to wake anyway.
  [[maybe_unused]] const ssize_t ignored = ::write(wake_.get(), &one, sizeof(one));
}

Status EventLoop::OnSignals(std::initializer_list<int> signals,
                            std::function<void(int signal)> callback) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return PosixError(error, "pthread_sigmask");
  }
  signal_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_) return PosixError(errno, "signalfd");
  const Result<WatchId> watch =
      Watch(signal_.get(), EPOLLIN, [this, callback = std::move(callback)](uint32_t) {
        signalfd_siginfo info;
        while (::read(signal_.get(), &info, sizeof(info)) == sizeof(info)) {
          callback(static_cast<int>(info.ssi_signo));
        }
      });
  return watch.status();
}

int EventLoop::MillisecondsToNextTimer() const {
  if (timers_.empty()) return -1;
  const Duration left = timers_.begin()->first.first - clock_.Now();
  if (left <= Duration::zero()) return 0;
  // Rounded up: waking early would spin until the timer is due.
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<int64_t>(milliseconds, 60'000));
}

void EventLoop::RunDueTimers() {
  // What a task schedules for at once runs after the events that are ready by then.
  const TimePoint now = clock_.Now();
  while (!stopped_ && !timers_.empty() && timers_.begin()->first.first <= now) {
    auto due = timers_.extract(timers_.begin());
    timer_deadlines_.erase(due.key().second);
    due.mapped()();
  }
}

void EventLoop::RunPosted() {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(posted_mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::Run() {
  epoll_event events[kEventsAtOnce];
  while (!stopped_) {
    const int ready = ::epoll_wait(epoll_.get(), events, kEventsAtOnce, MillisecondsToNextTimer());
    for (int i = 0; i < ready && !stopped_; ++i) {
      const uint64_t id = events[i].data.u64;
      if (id == kWakeId) {
        uint64_t count;
        [[maybe_unused]] const ssize_t ignored = ::read(wake_.get(), &count, sizeof(count));
        RunPosted();
        continue;
      }
      const auto found = watches_.find(id);
      if (found == watches_.end()) continue;
      // Held while it runs: the callback may unwatch itself.
      const std::shared_ptr<WatchEntry> entry = found->second;
      entry->callback(events[i].events);
    }
    RunDueTimers();
  }
  stopped_ = false;
}

void EventLoop::Stop() {
  Post([this] { stopped_ = true; });
}

}  // namespace npu_ipc
