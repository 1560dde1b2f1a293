#include "hal/sim/driver/process_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"

namespace npu_ipc::sim {
namespace {

constexpr pid_t kSelf = 0;

std::string ProcPath(pid_t pid, const char* file) {
  return "/proc/" + (pid == kSelf ? "self" : std::to_string(pid)) + "/" + file;
}

// The inode number of a namespace: its identity for as long as a process is in it.
Result<uint64_t> Namespace(pid_t pid, const char* file) {
  const std::string path = ProcPath(pid, file);
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return PosixError(errno, "stat " + path);
  return static_cast<uint64_t>(found.st_ino);
}

// The number after `name` in /proc/<pid>/status, at its `column`-th field.
uint64_t StatusField(const std::string& status, const std::string& name, int column, int base) {
  const size_t line = status.find("\n" + name + ":");
  if (line == std::string::npos) return 0;
  const char* at = status.c_str() + line + name.size() + 2;
  uint64_t value = 0;
  for (int i = 0; i <= column; ++i) {
    char* end = nullptr;
    value = ::strtoull(at, &end, base);
    at = end;
  }
  return value;
}

}  // namespace

Result<ProcessInspector> ProcessInspector::Create(unsigned device_major, uint32_t device_count,
                                                  pid_t host_mount_namespace_of) {
  ProcessInspector inspector;
  inspector.device_major_ = device_major;
  inspector.device_count_ = device_count;
  const Result<uint64_t> host = Namespace(host_mount_namespace_of, "ns/mnt");
  if (!host.ok()) return host.status().WithContext("the host's mount namespace");
  inspector.host_mount_namespace_ = *host;
  const Result<uint64_t> user = Namespace(kSelf, "ns/user");
  if (!user.ok()) return user.status();
  inspector.own_user_namespace_ = *user;
  const Result<std::string> status = ReadFile(ProcPath(kSelf, "status"));
  if (!status.ok()) return status.status();
  inspector.own_bounding_set_ = StatusField(*status, "CapBnd", 0, 16);
  return inspector;
}

Result<ProcessFacts> ProcessInspector::Inspect(pid_t pid, uint64_t start_time_ticks) const {
  ProcessFacts facts;
  facts.pid = pid;
  facts.start_time_ticks = start_time_ticks;
  const Result<uint64_t> mount = Namespace(pid, "ns/mnt");
  if (!mount.ok()) return mount.status();
  facts.mount_namespace = *mount;
  facts.is_host = *mount == host_mount_namespace_;

  const Result<uint64_t> user = Namespace(pid, "ns/user");
  if (!user.ok()) return user.status();
  const Result<std::string> status = ReadFile(ProcPath(pid, "status"));
  if (!status.ok()) return status.status();
  const uint64_t effective_uid = StatusField(*status, "Uid", 1, 10);
  const uint64_t effective_capabilities = StatusField(*status, "CapEff", 0, 16);
  facts.is_admin = *user == own_user_namespace_ && effective_uid == 0 &&
                   effective_capabilities == own_bounding_set_;
  facts.devices = DevicesOf(pid);
  return facts;
}

std::vector<uint32_t> ProcessInspector::DevicesOf(pid_t pid) const {
  std::vector<uint32_t> devices;
  const UniqueFd root(::open(ProcPath(pid, "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return devices;
  // A container may have made its /dev a symbolic link: it is followed inside its own root.
  open_how how = {};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  const UniqueFd dev(
      static_cast<int>(::syscall(SYS_openat2, root.get(), "dev", &how, sizeof(how))));
  if (!dev) return devices;
  for (uint32_t i = 0; i < device_count_; ++i) {
    const std::string name = "davinci" + std::to_string(i);
    struct stat node = {};
    if (::fstatat(dev.get(), name.c_str(), &node, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISCHR(node.st_mode) || major(node.st_rdev) != device_major_) continue;
    if (minor(node.st_rdev) < device_count_) devices.push_back(minor(node.st_rdev));
  }
  std::sort(devices.begin(), devices.end());
  devices.erase(std::unique(devices.begin(), devices.end()), devices.end());
  return devices;
}

}  // namespace npu_ipc::sim
