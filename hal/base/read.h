// Reads from a descriptor.
#pragma once

#include <stddef.h>

#include <string>
#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc {

// What is left of a file of a size that only reading tells, its first `limit` bytes at most. `what`
// names the call and its object for the message of a failure ("read /proc/self/stat").
Result<std::string> ReadUpTo(int fd, size_t limit, std::string_view what);

}  // namespace npu_ipc
