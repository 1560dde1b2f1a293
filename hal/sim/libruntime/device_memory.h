// Allocations of device memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "acl/rt/memory.h"
#include "hal/sim/libruntime/address_space.h"
#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// The page size that an allocation of this policy and size gets: 4 KiB, 2 MiB or 1 GiB; 0 for a
// policy that does not exist. Of "huge pages first", what is at most 1 MiB gets small ones.
size_t PageBytesFor(aclrtMemMallocPolicy policy, size_t bytes);

// One allocation of the driver, whole pages, on the physical device `device`. 207001 when it has no
// room, 107000 for no bytes or an unknown policy.
RtResult<void*> AllocateDeviceMemory(AddressSpace& addresses, uint32_t device, size_t bytes,
                                     aclrtMemMallocPolicy policy);
// 107000 for what is no allocation's start: an import is closed, not freed.
RtStatus FreeDeviceMemory(AddressSpace& addresses, void* base);

}  // namespace npu_ipc::sim
