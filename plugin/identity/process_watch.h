// When a process ends.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "hal/base/event_loop.h"
#include "hal/base/process.h"
#include "hal/base/result.h"

namespace npu_ipc::identity {

// Tells when one process has ended: at once by its pidfd, or where the kernel has none (before 5.3)
// by looking every now and then. Belongs to the loop's thread.
class ProcessWatch {
 public:
  // Calls `ended` once, on the loop, unless this is destroyed before; it may be destroyed within
  // the call. `loop` must outlive it. Any error says that the process cannot be watched.
  static Result<std::unique_ptr<ProcessWatch>> Start(EventLoop& loop, PeerProcess process,
                                                     std::function<void()> ended,
                                                     Duration look_every = std::chrono::seconds(1));
  ~ProcessWatch();
  ProcessWatch(const ProcessWatch&) = delete;
  ProcessWatch& operator=(const ProcessWatch&) = delete;

  const PeerProcess& process() const { return process_; }
  // Looks now: `ended` may be called only later.
  bool Alive() const { return ProcessAlive(process_); }

 private:
  ProcessWatch(EventLoop& loop, PeerProcess process, std::function<void()> ended,
               Duration look_every);
  void LookLater();
  void OnEnded();

  EventLoop& loop_;
  const PeerProcess process_;
  std::function<void()> ended_;
  const Duration look_every_;
  EventLoop::WatchId watch_ = 0;  // of the pidfd
  EventLoop::TimerId timer_ = 0;  // where there is none
};

}  // namespace npu_ipc::identity
