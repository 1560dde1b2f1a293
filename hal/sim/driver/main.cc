// npu-sim-driver: the simulated driver daemon.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string_view>

#include "hal/base/event_loop.h"
#include "hal/base/posix_error.h"
#include "hal/base/unix_socket.h"
#include "hal/sim/driver/audit_files.h"
#include "hal/sim/driver/control.h"
#include "hal/sim/driver/control_server.h"
#include "hal/sim/driver/device_nodes.h"
#include "hal/sim/driver/driver.h"
#include "hal/sim/driver/node_shape.h"
#include "hal/sim/driver/options.h"
#include "hal/sim/driver/process_facts.h"
#include "hal/sim/driver/server.h"

namespace npu_ipc::sim {
namespace {

constexpr mode_t kSocketMode =
    0666;  // as the device nodes' drivers: who may do what is theirs to say
constexpr mode_t kControlSocketMode = 0600;

uint64_t BootTimeNanoseconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

// An allocation, a connection and a process take a descriptor each.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Status ReportReady(int ready_fd) {
  ::printf("ready\n");
  ::fflush(stdout);
  if (ready_fd < 0) return Status::Ok();
  const UniqueFd fd(ready_fd);
  if (::write(fd.get(), "ready\n", 6) != 6) {
    return PosixError(errno, "--ready-fd " + std::to_string(ready_fd));
  }
  return Status::Ok();
}

Status Run(const Options& options) {
  const Result<NodeShape> shape = LoadNodeShape(options.node, options.nodes_directory);
  if (!shape.ok()) return shape.status();
  const uint32_t device_count = static_cast<uint32_t>(shape->devices.size());

  // The socket first: its lock keeps a second daemon from touching the device nodes of this one.
  Result<std::unique_ptr<UnixListener>> listener =
      UnixListener::Listen(options.library_directory + "/" + kSocketFileName, kSocketMode);
  if (!listener.ok()) return listener.status();
  const Result<std::unique_ptr<DeviceNodes>> nodes =
      DeviceNodes::Create(device_count, options.devices);
  if (!nodes.ok()) return nodes.status();
  std::unique_ptr<AuditFiles> audit;
  if (!options.audit_directory.empty()) {
    Result<std::unique_ptr<AuditFiles>> files = AuditFiles::Create(options.audit_directory);
    if (!files.ok()) return files.status();
    audit = std::move(*files);
  }
  Result<ProcessInspector> inspector =
      ProcessInspector::Create((*nodes)->major(), device_count, options.host_mount_namespace_of);
  if (!inspector.ok()) return inspector.status();

  Result<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) return loop.status();
  EventLoop& events = **loop;
  Status signals = events.OnSignals({SIGTERM, SIGINT}, [&events](int) { events.Stop(); });
  if (!signals.ok()) return signals;
  Driver driver(*shape, BootTimeNanoseconds, audit.get());
  const Result<std::unique_ptr<Server>> server =
      Server::Create(events, driver, *inspector, std::move(*listener), options.verbose);
  if (!server.ok()) return server.status();
  Result<std::unique_ptr<UnixListener>> control_listener = UnixListener::Listen(
      options.library_directory + "/" + kControlSocketFileName, kControlSocketMode);
  if (!control_listener.ok()) return control_listener.status();
  Control control(driver, [&server] { (*server)->AnswerHeld(); });
  const Result<std::unique_ptr<ControlServer>> control_server =
      ControlServer::Create(events, std::move(*inspector), std::move(*control_listener),
                            [&control](std::string_view request) { return control.Run(request); });
  if (!control_server.ok()) return control_server.status();
  if (Status ready = ReportReady(options.ready_fd); !ready.ok()) return ready;
  events.Run();
  return Status::Ok();
}

}  // namespace
}  // namespace npu_ipc::sim

int main(int argc, char** argv) {
  int exit_code = 0;
  const auto options = npu_ipc::sim::ParseOptions(argc, argv, &exit_code);
  if (!options) return exit_code;
  ::signal(SIGPIPE, SIG_IGN);
  npu_ipc::sim::RaiseDescriptorLimit();
  const npu_ipc::Status status = npu_ipc::sim::Run(*options);
  if (status.ok()) return 0;
  ::fprintf(stderr, "npu-sim-driver: %s\n", status.message().c_str());
  return 1;
}
