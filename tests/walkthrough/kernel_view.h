// What the kernel says of running processes: the demo's witness, independent of everything that it
// shows.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc {

// One mapping of device memory in /proc/<pid>/maps. The simulator's device memory is a memfd.
struct MemoryMapping {
  uint64_t inode = 0;
  uint64_t bytes = 0;
  std::string name;
};

// The mappings of memfds of at least `least_bytes` in a process.
Result<std::vector<MemoryMapping>> DeviceMemoryMappings(pid_t pid, uint64_t least_bytes);

// The process' pid in its innermost PID namespace (the last of NStgid in /proc/<pid>/status).
Result<pid_t> PidInItsOwnNamespace(pid_t pid);

// The name of a process' namespace, "pid:[4026532281]". `kind` is pid, mnt, ipc or net.
Result<std::string> NamespaceOf(pid_t pid, const std::string& kind);

// Shared memory in use on the machine (Shmem of /proc/meminfo), in bytes.
Result<uint64_t> SharedMemoryInUse();

}  // namespace npu_ipc
