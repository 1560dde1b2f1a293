// From a process that the kernel identified to the container that it is in.
#pragma once

#include "hal/base/process.h"
#include "hal/base/result.h"
#include "plugin/identity/cgroup.h"

namespace npu_ipc::identity {

// The container of `process`, read from /proc/<pid>/cgroup while it is known to be that process:
// its pidfd and its start time are looked at again after the file was read. Needs the host's PID
// namespace and its /proc. Safe for concurrent use.
//
// kUnavailable when the process has ended meanwhile; else as ParseCgroup().
Result<ContainerCgroup> ContainerOf(const PeerProcess& process);

}  // namespace npu_ipc::identity
