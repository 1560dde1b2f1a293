#include "plugin/identity/process_watch.h"

#include <sys/epoll.h>

#include <utility>

namespace npu_ipc::identity {

Result<std::unique_ptr<ProcessWatch>> ProcessWatch::Start(EventLoop& loop, PeerProcess process,
                                                          std::function<void()> ended,
                                                          Duration look_every) {
  std::unique_ptr<ProcessWatch> watch(
      new ProcessWatch(loop, std::move(process), std::move(ended), look_every));
  if (!watch->process_.pidfd) {
    watch->LookLater();
    return watch;
  }
  Result<EventLoop::WatchId> watched = loop.Watch(
      watch->process_.pidfd.get(), EPOLLIN, [self = watch.get()](uint32_t) { self->OnEnded(); });
  if (!watched.ok()) return watched.status();
  watch->watch_ = *watched;
  return watch;
}

ProcessWatch::ProcessWatch(EventLoop& loop, PeerProcess process, std::function<void()> ended,
                           Duration look_every)
    : loop_(loop),
      process_(std::move(process)),
      ended_(std::move(ended)),
      look_every_(look_every) {}

ProcessWatch::~ProcessWatch() {
  loop_.Unwatch(watch_);
  loop_.Cancel(timer_);
}

void ProcessWatch::LookLater() {
  timer_ = loop_.RunAfter(look_every_, [this] { Alive() ? LookLater() : OnEnded(); });
}

void ProcessWatch::OnEnded() {
  loop_.Unwatch(std::exchange(watch_, 0));
  // On the stack: this may be destroyed within it.
  const std::function<void()> ended = std::move(ended_);
  ended();
}

}  // namespace npu_ipc::identity
