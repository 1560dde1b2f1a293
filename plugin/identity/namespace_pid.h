// A process as it sees itself.
#pragma once

#include <sys/types.h>

#include "hal/base/process.h"
#include "hal/base/result.h"

namespace npu_ipc::identity {

// The pid that the process has in its own PID namespace: what its getpid() returns.
// kUnavailable where it has ended; kUnimplemented where the kernel does not say (before 4.1).
Result<pid_t> NamespacePidOf(const PeerProcess& process);

}  // namespace npu_ipc::identity
