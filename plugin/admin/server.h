// The admin socket: questions about the broker, from root on the node alone.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "hal/base/fd.h"
#include "hal/base/result.h"
#include "hal/base/unix_socket.h"

namespace npu_ipc::admin {

inline constexpr char kDefaultSocket[] = "/run/npu-ipc-admin/admin.sock";

// Of a request, and of each packet of an answer.
inline constexpr size_t kMaxRequestBytes = 4096;
inline constexpr size_t kPacketBytes = 32768;

// A peer sends one packet, which is the request, and is sent packets that together are the answer,
// the last of which ends with a newline; then the connection is closed. An answer that does not end
// with a newline was cut off.
//
// One thread answers one request after another. A peer has a few seconds to send its request, and
// again to read the answer: whoever does not is dropped.
class Server {
 public:
  // Called on the server's thread. What it returns is the answer without the newline.
  using Handler = std::function<std::string(const std::string& request)>;

  // Listens at `path`, mode 0600, in a directory that is made (0700) where it is not there.
  // Answers processes of uid 0 and of this process' own alone, as the kernel names them.
  // kPermissionDenied where the directory is another user's; else what UnixListener::Listen() has.
  static Result<std::unique_ptr<Server>> Start(const std::string& path, Handler handler);
  // Drops whom it is answering. `handler` must return soon.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  Server(std::unique_ptr<UnixListener> listener, UniqueFd stop, Handler handler);
  void Run();
  void Answer(int peer);
  bool WaitFor(int fd, short events, int milliseconds);

  const std::unique_ptr<UnixListener> listener_;
  const UniqueFd stop_;  // an eventfd: readable once the server is to end
  const Handler handler_;
  std::thread thread_;  // last: it uses what is above
};

}  // namespace npu_ipc::admin
