// A log for whoever looks into a program that shares memory. Silent unless NPU_IPC_LOG says where
// to write: a file's path, or the number of an open descriptor.
#pragma once

#include "runtime/src/text.h"

namespace npu_ipc::runtime {

// Reads NPU_IPC_LOG, once a process; ignored in set-user-id programs.
void OpenRawLog();

// Whether a line would be written: callers ask before they put one together.
bool RawLogEnabled();

// Writes "npu-ipc <pid>/<thread>: <line>\n" with one write(2). Allocates nothing, takes no lock,
// and drops the line where the descriptor is no longer the one that was opened. Never pass an
// export key.
void RawLog(const Text& line);

}  // namespace npu_ipc::runtime
