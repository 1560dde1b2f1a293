#include "plugin/admin/client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "hal/base/posix_error.h"
#include "hal/base/unix_socket.h"
#include "plugin/admin/server.h"

namespace npu_ipc::admin {
namespace {

// More than the broker gives itself to find the answer.
constexpr time_t kTimeoutSeconds = 20;

}  // namespace

Result<std::string> Ask(const std::string& socket_path, const std::string& request) {
  const Result<UniqueFd> socket = ConnectUnix(socket_path);
  if (!socket.ok()) return socket.status();
  const timeval timeout = {kTimeoutSeconds, 0};
  ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  ::setsockopt(socket->get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  if (Status sent = SendMessage(socket->get(), request.data(), request.size()); !sent.ok()) {
    return sent.WithContext(socket_path);
  }
  std::string answer;
  std::string packet(kPacketBytes, '\0');
  while (!answer.ends_with('\n')) {
    const Result<ReceivedMessage> received =
        ReceiveMessage(socket->get(), packet.data(), packet.size());
    if (!received.ok()) return received.status().WithContext(socket_path);
    if (received->would_block) {
      return Status(StatusCode::kDeadlineExceeded,
                    socket_path + ": no answer for " + std::to_string(kTimeoutSeconds) + " s");
    }
    if (received->end_of_stream) {
      return Status(answer.empty() ? StatusCode::kPermissionDenied : StatusCode::kUnavailable,
                    socket_path + (answer.empty() ? ": closed without an answer: it answers root "
                                                    "alone"
                                                  : ": the answer was cut off"));
    }
    answer.append(packet, 0, received->bytes);
  }
  answer.pop_back();
  return answer;
}

}  // namespace npu_ipc::admin
