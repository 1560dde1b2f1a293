// Host memory that the runtime gave out.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <mutex>

#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// Safe for concurrent use.
class HostMemory {
 public:
  // Page-aligned, zeroed. 207001 when there is none.
  RtResult<void*> Allocate(size_t bytes);
  // 107000 for what Allocate did not give, or was given back already.
  RtStatus Free(void* base);
  bool Contains(const void* pointer) const;

 private:
  mutable std::mutex mutex_;
  std::map<uintptr_t, size_t> allocations_;  // guarded by mutex_
};

}  // namespace npu_ipc::sim
