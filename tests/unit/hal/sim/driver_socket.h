// A driver's socket, served by a thread of the test's process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "hal/base/unix_socket.h"

namespace npu_ipc::sim {

class DriverSocket {
 public:
  // Both are called on the serving thread. `accepted` may be empty; `answer` is called when
  // `client` has something to read, and closes the connection by emptying it.
  struct Handler {
    std::function<void()> accepted;
    std::function<void(UniqueFd& client)> answer;
  };

  DriverSocket(const std::string& path, Handler handler);
  ~DriverSocket();  // waits for the handler
  DriverSocket(const DriverSocket&) = delete;
  DriverSocket& operator=(const DriverSocket&) = delete;

 private:
  void Serve();

  const Handler handler_;
  std::unique_ptr<UnixListener> listener_;
  int stop_[2];
  std::thread thread_;
};

}  // namespace npu_ipc::sim
