// What the simulated driver goes by: the kernel's facts about the calling process, never what the
// process says or has in its environment.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <algorithm>
#include <string>
#include <vector>

#include "hal/base/fd.h"
#include "hal/base/result.h"

namespace npu_ipc::sim {

// A plain value; tests make their own.
struct ProcessFacts {
  pid_t pid = 0;  // in the driver's PID namespace (the host's): the driver's tgid
  uint64_t start_time_ticks = 0;
  uint64_t mount_namespace = 0;   // inode number: what the driver calls a container
  bool is_host = false;           // its mount namespace is the host's
  bool is_admin = false;          // uid 0 with every capability that the driver daemon could have
  std::vector<uint32_t> devices;  // physical ids of the device nodes in its /dev, ascending

  bool Sees(uint32_t device) const {
    return std::binary_search(devices.begin(), devices.end(), device);
  }
  bool IsHostOrAdmin() const { return is_host || is_admin; }
};

// Looks at processes. Its methods are safe for concurrent use.
class ProcessInspector {
 public:
  // `device_major` is that of the simulator's device nodes, `device_count` how many there are.
  // `host_mount_namespace_of` names a process in the mount namespace that counts as the host's; 0
  // is this process. kNotFound when there is no such process.
  static Result<ProcessInspector> Create(unsigned device_major, uint32_t device_count,
                                         pid_t host_mount_namespace_of);

  // The facts of `pid`, which the caller holds by a pidfd: they are worth nothing unless the
  // process is still alive afterwards. A /dev that cannot be read has no devices.
  Result<ProcessFacts> Inspect(pid_t pid, uint64_t start_time_ticks) const;

 private:
  ProcessInspector() = default;
  std::vector<uint32_t> DevicesOf(pid_t pid) const;

  unsigned device_major_ = 0;
  uint32_t device_count_ = 0;
  uint64_t host_mount_namespace_ = 0;
  uint64_t own_user_namespace_ = 0;
  uint64_t own_bounding_set_ = 0;
};

}  // namespace npu_ipc::sim
