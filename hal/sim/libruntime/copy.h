// The only hands on device memory: copies and fills.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "acl/rt/copy.h"
#include "hal/sim/libruntime/address_space.h"
#include "hal/sim/libruntime/errors.h"
#include "hal/sim/libruntime/stream.h"

namespace npu_ipc::sim {

struct CopyRequest {
  void* destination;
  size_t room;  // at the destination
  const void* source;
  size_t count;
  int kind;  // aclrtMemcpyKind; a number, as a C program may pass any
};

struct FillRequest {
  void* destination;
  size_t room;
  int32_t value;
  size_t count;
};

// What every copy is held to, before any byte moves:
//  - 107000: less room than count, or a kind that does not fit where the two sides are;
//  - 507899: a range that leaves its allocation; memory imported from another device, other than in
//    an asynchronous device-to-device copy (documented with the IPC memory interface; that the
//    synchronous one fails with this code and leaves the data alone is a field report);
//  - 107000: ACL_MEMCPY_DEFAULT with such memory (documented: no inference there).
// An import whose exporter has ended or closed fails when the copy runs: 507899, in a stream 507053
// at its synchronisation.
RtStatus CopyNow(const AddressSpace& addresses, const CopyRequest& request);
RtStatus CopyOn(Stream& stream, const AddressSpace& addresses, const CopyRequest& request);

// Host memory is filled too. A synchronous fill of memory imported from another device is refused
// as a host copy is.
RtStatus FillNow(const AddressSpace& addresses, const FillRequest& request);
RtStatus FillOn(Stream& stream, const AddressSpace& addresses, const FillRequest& request);

}  // namespace npu_ipc::sim
