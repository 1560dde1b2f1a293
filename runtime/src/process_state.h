// What is true of the whole process, whichever client made it so.
#pragma once

#include <sys/types.h>

#include <atomic>

#include "runtime/src/export_table.h"
#include "runtime/src/peer_access.h"

namespace npu_ipc::runtime {

struct ProcessState {
  pid_t pid = 0;
  ExportTable exports;
  PeerAccess peers;
  std::atomic<uint64_t> next_client_id{1};
};

// This process' state; null when the host is out of memory. A forked child gets one of its own: its
// parent's may be locked by a thread that the child does not have, and is left alone.
ProcessState* ThisProcess();

}  // namespace npu_ipc::runtime
