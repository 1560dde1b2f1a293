#include "hal/sim/libruntime/driver.h"

#include "hal/base/no_destructor.h"

namespace npu_ipc::sim {

RtResult<DriverReply> CallDriver(const Request& request, std::string_view what) {
  // Found once: the working directory, which a relative path depends on, may change. The client
  // survives forks, with a connection of each process' own.
  static NoDestructor<Result<std::string>> socket_path(DriverSocketPath());
  if (!socket_path->ok()) return DriverUnreachable(socket_path->status(), what);
  static NoDestructor<DriverClient> client(socket_path->value());
  Result<DriverReply> answer = client->Call(request);
  if (!answer.ok()) return DriverUnreachable(answer.status(), what);
  if (answer->reply.error != 0) return DriverRefusal(answer->reply.error, what);
  return std::move(*answer);
}

}  // namespace npu_ipc::sim
