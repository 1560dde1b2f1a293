// Asks at the admin socket.
#pragma once

#include <string>

#include "hal/base/result.h"

namespace npu_ipc::admin {

// The whole answer to `request`, without its newline; the protocol is server.h's. kUnavailable
// where nobody serves the socket, or the answer is cut off; kNotFound where there is no socket;
// kPermissionDenied where this user may not ask; kDeadlineExceeded where nothing comes for a while.
Result<std::string> Ask(const std::string& socket_path, const std::string& request);

}  // namespace npu_ipc::admin
