// gRPC's own life in a process. Included by files that npu_ipc_grpc_sources names.
#pragma once

#include <grpc/grpc.h>

namespace npu_ipc {

// Before the first channel or server: gRPC stays until the process ends. By itself it ends with the
// last of its objects, and where one of its threads lets go of that (the rest of a channel that was
// cancelled, mostly) it does so on a detached thread, in the midst of what the process does next:
// destructors of static objects, if main() has returned. It would also start and end all its threads
// anew for each channel of a daemon that has no other. (gRPC 1.51: grpc_shutdown() in
// src/core/lib/surface/init.cc, called by Channel::CreateWithBuilder() in channel.cc.)
inline void KeepGrpcRunning() {
  static const bool kept = [] {
    ::grpc_init();
    return true;
  }();
  static_cast<void>(kept);
}

}  // namespace npu_ipc
