#include "hal/sim/libruntime/driver.h"

#include "hal/base/no_destructor.h"

namespace npu_ipc::sim {
namespace {

// Survives forks: the client makes a connection of the child's own.
DriverClient& Client(const std::string& socket_path) {
  static NoDestructor<DriverClient> client(socket_path);
  return *client;
}

}  // namespace

RtResult<DriverReply> CallDriver(const Request& request, std::string_view what) {
  const Result<std::string> socket_path = DriverSocketPath();
  if (!socket_path.ok()) return DriverUnreachable(socket_path.status(), what);
  Result<DriverReply> answer = Client(*socket_path).Call(request);
  if (!answer.ok()) return DriverUnreachable(answer.status(), what);
  if (answer->reply.error != 0) return DriverRefusal(answer->reply.error, what);
  return std::move(*answer);
}

}  // namespace npu_ipc::sim
