#include "tests/walkthrough/kernel_view.h"

#include <limits.h>
#include <unistd.h>

#include <map>
#include <sstream>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"

namespace npu_ipc {
namespace {

// The value of a "Name:  value" line.
std::string Field(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + ":", 0) == 0) return line.substr(name.size() + 1);
  }
  return "";
}

std::string Proc(pid_t pid, const std::string& file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

}  // namespace

Result<std::vector<MemoryMapping>> DeviceMemoryMappings(pid_t pid, uint64_t least_bytes) {
  const Result<std::string> text = ReadFile(Proc(pid, "maps"), 16 << 20);
  if (!text.ok()) return text.status();
  std::map<uint64_t, MemoryMapping> by_inode;  // one memfd may be mapped in pieces
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string range, permissions, offset, device, name;
    uint64_t inode = 0;
    fields >> range >> permissions >> offset >> device >> inode >> name;
    if (name.rfind("/memfd:", 0) != 0) continue;
    const size_t dash = range.find('-');
    MemoryMapping& mapping = by_inode[inode];
    mapping.inode = inode;
    mapping.name = name;
    mapping.bytes += std::stoull(range.substr(dash + 1), nullptr, 16) -
                     std::stoull(range.substr(0, dash), nullptr, 16);
  }
  std::vector<MemoryMapping> mappings;
  for (const auto& [inode, mapping] : by_inode) {
    if (mapping.bytes >= least_bytes) mappings.push_back(mapping);
  }
  return mappings;
}

Result<pid_t> PidInItsOwnNamespace(pid_t pid) {
  const Result<std::string> status = ReadFile(Proc(pid, "status"));
  if (!status.ok()) return status.status();
  std::istringstream pids(Field(*status, "NStgid"));
  pid_t innermost = 0;
  while (pids >> innermost) {
  }
  return innermost;
}

Result<std::string> NamespaceOf(pid_t pid, const std::string& kind) {
  char target[PATH_MAX] = {};
  const std::string path = Proc(pid, "ns/" + kind);
  if (::readlink(path.c_str(), target, sizeof(target) - 1) < 0) {
    return PosixError(errno, "readlink " + path);
  }
  return std::string(target);
}

Result<uint64_t> SharedMemoryInUse() {
  const Result<std::string> text = ReadFile("/proc/meminfo");
  if (!text.ok()) return text.status();
  return std::stoull(Field(*text, "Shmem")) * 1024;
}

}  // namespace npu_ipc
