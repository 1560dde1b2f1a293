// The pids that a program lets import its memory.
#pragma once

#include <stdint.h>

#include "hal/acl/acl_ipc.h"
#include "runtime/src/client.h"

namespace npu_ipc::preload {

// rtsIpcMemSetImportPid for as many pids as the program likes, on a key of any process: told to the
// driver in as many calls as it takes, pids of other PID namespaces in the host's terms where the
// broker knows which process is meant. Stops at the first call that fails, with its code.
hal::acl::Error SetImportPids(runtime::Client* client, const char* key, const int32_t* pids,
                              int count);

}  // namespace npu_ipc::preload
