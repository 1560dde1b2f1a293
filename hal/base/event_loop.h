// One thread, many descriptors and timers: the loop that owns a daemon's state.
#pragma once

#include <stdint.h>

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "hal/base/clock.h"
#include "hal/base/fd.h"
#include "hal/base/result.h"

namespace npu_ipc {

// Level-triggered epoll. Everything but Post() and Stop() is called on the loop's own thread, or
// before Run(). Callbacks run one at a time on that thread and may watch, unwatch (themselves too),
// schedule and cancel as they like: an event that was already fetched for a descriptor unwatched
// meanwhile is dropped.
class EventLoop {
 public:
  using EventCallback = std::function<void(uint32_t epoll_events)>;
  using Task = std::function<void()>;
  using WatchId = uint64_t;
  using TimerId = uint64_t;

  static Result<std::unique_ptr<EventLoop>> Create(const Clock& clock = SystemClock());
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `callback` whenever `fd` has one of `epoll_events` (EPOLLIN ...). `fd` stays the caller's
  // and must be unwatched before it is closed.
  Result<WatchId> Watch(int fd, uint32_t epoll_events, EventCallback callback);
  // Other events for the same watch; an unknown id is ignored.
  void SetEvents(WatchId id, uint32_t epoll_events);
  // An unknown id is ignored.
  void Unwatch(WatchId id);

  // Runs `task` once, `delay` from now or as soon after as the loop gets to it.
  TimerId RunAfter(Duration delay, Task task);
  // An unknown or already run id is ignored.
  void Cancel(TimerId id);

  // Runs `task` on the loop's thread, in the order of the calls. Any thread.
  void Post(Task task);

  // Blocks `signals` in the calling thread (call it before other threads start: they inherit the
  // mask) and runs `callback` on the loop's thread whenever one arrives.
  Status OnSignals(std::initializer_list<int> signals, std::function<void(int signal)> callback);

  // Until Stop(). What was posted before Stop() has run when Run() returns.
  void Run();
  // Makes Run() return after the current callback. Any thread; also before Run().
  void Stop();

  const Clock& clock() const { return clock_; }

 private:
  struct WatchEntry {
    int fd;
    EventCallback callback;
  };

  EventLoop(const Clock& clock, UniqueFd epoll, UniqueFd wake);
  int MillisecondsToNextTimer() const;
  void RunDueTimers();
  void RunPosted();

  const Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  UniqueFd signal_;
  uint64_t next_id_ = 1;
  bool stopped_ = false;
  std::unordered_map<WatchId, std::shared_ptr<WatchEntry>> watches_;
  std::map<std::pair<TimePoint, TimerId>, Task> timers_;
  std::unordered_map<TimerId, TimePoint> timer_deadlines_;

  std::mutex posted_mutex_;
  std::vector<Task> posted_;  // guarded by posted_mutex_
};

}  // namespace npu_ipc
