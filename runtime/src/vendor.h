// The vendor's functions, as the program has loaded them.
#pragma once

#include <stdint.h>

#include "hal/acl/acl_ipc.h"
#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"
#include "runtime/src/text.h"

namespace npu_ipc::runtime {

// The vendor's functions, or null with `*error` naming all that is missing. Looked up until they
// are found (the program may load AscendCL at any time), then remembered for good.
const hal::acl::IpcTable* FindVendor(Text* error);

// The device of the calling thread.
struct ThreadDevice {
  hal::acl::Context context = nullptr;
  uint32_t user_device = 0;      // as this process numbers them
  uint32_t physical_device = 0;  // N of /dev/davinciN
};

// 0, or the vendor's code with `*error` naming the call that failed.
hal::acl::Error FindThreadDevice(const hal::acl::IpcTable& vendor, ThreadDevice* device,
                                 Text* error);

// "<call> failed with <code>: <what that usually means>"
Text DescribeVendorError(const char* call, hal::acl::Error code);

// What to tell the broker when peer access could not be enabled.
wire::Status PeerFailure(hal::acl::Error code);

}  // namespace npu_ipc::runtime
