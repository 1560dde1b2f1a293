#include "hal/sim/libruntime/host_memory.h"

#include <stdlib.h>
#include <string.h>

#include <iterator>

namespace npu_ipc::sim {
namespace {

constexpr size_t kPageBytes = 4096;

}  // namespace

RtResult<void*> HostMemory::Allocate(size_t bytes) {
  const size_t whole = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  void* const base = whole < bytes ? nullptr : ::aligned_alloc(kPageBytes, whole);
  if (base == nullptr) {
    return RtStatus(ACL_ERROR_RT_MEMORY_ALLOCATION,
                    "no " + std::to_string(bytes) + " bytes of host memory");
  }
  ::memset(base, 0, whole);
  std::lock_guard<std::mutex> lock(mutex_);
  allocations_.emplace(reinterpret_cast<uintptr_t>(base), whole);
  return base;
}

RtStatus HostMemory::Free(void* base) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (allocations_.erase(reinterpret_cast<uintptr_t>(base)) == 0) {
      return RtStatus(
          ACL_ERROR_RT_PARAM_INVALID,
          "not host memory of the runtime's: aclrtMallocHost did not give it, or it was "
          "freed");
    }
  }
  ::free(base);
  return {};
}

bool HostMemory::Contains(const void* pointer) const {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  std::lock_guard<std::mutex> lock(mutex_);
  const auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return false;
  const auto& [base, bytes] = *std::prev(after);
  return address - base < bytes;
}

}  // namespace npu_ipc::sim
