// An event loop on a thread of its own, for tests of what belongs to a loop's thread.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "hal/base/event_loop.h"

namespace npu_ipc {

class LoopThread {
 public:
  LoopThread() : loop_(EventLoop::Create().value()), thread_([this] { loop_->Run(); }) {}
  ~LoopThread() {
    loop_->Stop();
    thread_.join();
  }

  EventLoop& loop() { return *loop_; }
  // Runs `task` on the loop's thread and returns when it has.
  void Do(const std::function<void()>& task) {
    std::promise<void> done;
    loop_->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

}  // namespace npu_ipc
