#include "plugin/identity/container.h"

#include <string>

namespace npu_ipc::identity {

Result<ContainerCgroup> ContainerOf(const PeerProcess& process) {
  const std::string name = "process " + std::to_string(process.pid);
  const Result<std::string> text =
      ReadFile("/proc/" + std::to_string(process.pid) + "/cgroup", kMaxCgroupBytes);
  // The file belongs to a pid, not to a process: it counts only if the pid is still that process'.
  const Result<uint64_t> start_time = ProcessStartTime(process.pid);
  if (!start_time.ok() || *start_time != process.start_time_ticks || !ProcessAlive(process)) {
    return Status(StatusCode::kUnavailable, name + " ended while its cgroup was read");
  }
  if (!text.ok()) return text.status();
  const Result<std::string> own = ReadFile("/proc/self/cgroup", kMaxCgroupBytes);
  if (!own.ok()) return own.status();
  Result<ContainerCgroup> container = ParseCgroup(*text, *own);
  if (!container.ok()) return container.status().WithContext(name);
  return container;
}

}  // namespace npu_ipc::identity
