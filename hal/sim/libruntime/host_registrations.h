// Host memory of the program's that was given a device address.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <mutex>

#include "hal/sim/libruntime/address_space.h"
#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// Safe for concurrent use.
class HostRegistrations {
 public:
  explicit HostRegistrations(AddressSpace& addresses) : addresses_(addresses) {}

  // The address by which the physical device `device` knows [base, base + bytes). 507910 when
  // `base` is registered already, 107000 for nothing.
  RtResult<void*> Add(uint32_t device, void* base, size_t bytes);
  // 507911 when it is not registered.
  RtStatus Remove(const void* base);

 private:
  AddressSpace& addresses_;
  std::mutex mutex_;
  std::map<const void*, const void*> device_addresses_;  // by host address; guarded by mutex_
};

}  // namespace npu_ipc::sim
