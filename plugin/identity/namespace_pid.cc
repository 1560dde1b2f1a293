#include "plugin/identity/namespace_pid.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

namespace npu_ipc::identity {
namespace {

// "NSpid:\t4711\t23\t7": from the reader's namespace to the process' own (kernel: fs/proc/array.c).
constexpr std::string_view kField = "\nNSpid:";

}  // namespace

Result<pid_t> NamespacePidOf(const PeerProcess& process) {
  const std::string name = "process " + std::to_string(process.pid);
  const Result<std::string> status = ReadFile("/proc/" + std::to_string(process.pid) + "/status");
  // The file belongs to a pid, not to a process.
  const Result<uint64_t> start_time = ProcessStartTime(process.pid);
  if (!status.ok() || !start_time.ok() || *start_time != process.start_time_ticks) {
    return Status(StatusCode::kUnavailable, name + " ended while its status was read");
  }
  const size_t field = status->find(kField);
  if (field == std::string::npos) {
    return Status(StatusCode::kUnimplemented, "/proc shows no NSpid of " + name);
  }
  const size_t end = std::min(status->find('\n', field + 1), status->size());
  const size_t last = status->find_last_of("\t ", end - 1) + 1;
  pid_t pid = 0;
  const auto parsed = std::from_chars(status->data() + last, status->data() + end, pid);
  if (parsed.ec != std::errc() || pid <= 0) {
    return Status(StatusCode::kUnimplemented,
                  "/proc shows an NSpid of " + name + " that is no pid");
  }
  return pid;
}

}  // namespace npu_ipc::identity
