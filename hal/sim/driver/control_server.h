// The driver's control socket.
#pragma once

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "hal/base/event_loop.h"
#include "hal/base/unix_socket.h"
#include "hal/sim/driver/process_facts.h"

namespace npu_ipc::sim {

// Answers each message of a process of the host's mount namespace; any other is told that it is
// refused, and why. The socket's mode keeps out who is not root. Everything runs on the loop's
// thread.
class ControlServer {
 public:
  using Handler = std::function<std::string(std::string_view request)>;

  // `loop` outlives this object.
  static Result<std::unique_ptr<ControlServer>> Create(EventLoop& loop, ProcessInspector inspector,
                                                       std::unique_ptr<UnixListener> listener,
                                                       Handler handler);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Connection {
    UniqueFd fd;
    std::string refusal;  // empty: it may
  };

  ControlServer(EventLoop& loop, ProcessInspector inspector, std::unique_ptr<UnixListener> listener,
                Handler handler);
  void OnAccept();
  std::string RefusalOf(int fd) const;
  void OnReadable(EventLoop::WatchId watch);
  bool Answer(Connection& connection);

  EventLoop& loop_;
  const ProcessInspector inspector_;
  std::unique_ptr<UnixListener> listener_;
  const Handler handler_;
  EventLoop::WatchId listener_watch_ = 0;
  std::unordered_map<EventLoop::WatchId, Connection> connections_;
};

}  // namespace npu_ipc::sim
