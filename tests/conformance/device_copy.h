// Copies as a party makes them. These run in the party, on its own device.
#pragma once

#include <stdint.h>

#include "acl/acl.h"

namespace npu_ipc::conformance {

// One asynchronous copy on a stream of its own, waited for.
aclError CopyAsync(void* to, const void* from, uint64_t bytes, aclrtMemcpyKind kind);

// Writes and reads patterns (party.h) by way of a block of the current device: host to block
// synchronously, block to `address` asynchronously, and back.
aclError WritePattern(void* address, uint64_t bytes, uint64_t first_word);
aclError ReadPattern(const void* address, uint64_t bytes, bool* is_pattern, uint64_t* first_word);

}  // namespace npu_ipc::conformance
