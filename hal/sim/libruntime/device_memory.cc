#include "hal/sim/libruntime/device_memory.h"

#include <utility>

#include "hal/sim/libruntime/driver.h"

namespace npu_ipc::sim {
namespace {

constexpr size_t kSmallPage = size_t{4} << 10;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kGiantPage = size_t{1} << 30;
constexpr size_t kHugeFirstFrom = size_t{1} << 20;  // documented with aclrtMalloc

constexpr int kPolicyMask = 0xFF;  // above: kinds of memory, which this device has one of

void FreeInDriver(uint64_t handle) {
  Request request = {};
  request.operation = Operation::kFree;
  request.handle = handle;
  // A driver that has restarted does not know it any more: then it is free already.
  (void)CallDriver(request, "freeing device memory");
}

}  // namespace

size_t PageBytesFor(aclrtMemMallocPolicy policy, size_t bytes) {
  switch (static_cast<int>(policy) & kPolicyMask) {
    case ACL_MEM_MALLOC_HUGE_FIRST:
    case ACL_MEM_MALLOC_HUGE_FIRST_P2P:
      return bytes > kHugeFirstFrom ? kHugePage : kSmallPage;
    case ACL_MEM_MALLOC_HUGE_ONLY:
    case ACL_MEM_MALLOC_HUGE_ONLY_P2P:
      return kHugePage;
    case ACL_MEM_MALLOC_NORMAL_ONLY:
    case ACL_MEM_MALLOC_NORMAL_ONLY_P2P:
      return kSmallPage;
    case ACL_MEM_MALLOC_HUGE1G_ONLY:
    case ACL_MEM_MALLOC_HUGE1G_ONLY_P2P:
      return kGiantPage;
    default:
      return 0;
  }
}

RtResult<void*> AllocateDeviceMemory(AddressSpace& addresses, uint32_t device, size_t bytes,
                                     aclrtMemMallocPolicy policy) {
  const size_t page_bytes = PageBytesFor(policy, bytes);
  if (page_bytes == 0) {
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                    "no allocation policy " + std::to_string(static_cast<int>(policy)));
  }
  const size_t whole = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  if (bytes == 0 || whole < bytes) {
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                    "cannot allocate " + std::to_string(bytes) + " bytes of device memory");
  }
  Request request = {};
  request.operation = Operation::kAllocate;
  request.device = device;
  request.length = whole;
  request.page_bytes = page_bytes;
  RtResult<DriverReply> answer =
      CallDriver(request, "allocating " + std::to_string(whole) + " bytes on device " +
                              std::to_string(device));
  if (!answer.ok()) return answer.status();
  if (answer->descriptors.size() != 1) {
    return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR, "the driver sent no memory");
  }

  auto region = std::make_shared<Region>();
  region->kind = Region::Kind::kAllocation;
  region->bytes = whole;
  region->page_bytes = page_bytes;
  region->device = device;
  region->memory_device = device;
  region->handle = answer->reply.values[0];
  RtResult<Mapping> reserved = Mapping::Reserve(whole, page_bytes);
  RtResult<Mapping> shared = Mapping::Share(answer->descriptors[0].get(), 0, whole);
  if (!reserved.ok() || !shared.ok()) {
    FreeInDriver(region->handle);
    return reserved.ok() ? shared.status() : reserved.status();
  }
  region->addresses = std::move(*reserved);
  region->memory = std::move(*shared);
  region->real = region->memory.begin();
  void* const base = region->addresses.begin();
  addresses.Add(std::move(region));
  return base;
}

RtStatus FreeDeviceMemory(AddressSpace& addresses, void* base) {
  std::shared_ptr<const Region> region = addresses.Find(base);
  if (region == nullptr || region->addresses.begin() != base ||
      region->kind != Region::Kind::kAllocation) {
    return RtStatus(
        ACL_ERROR_RT_PARAM_INVALID,
        region != nullptr && region->kind == Region::Kind::kImport
            ? "imported memory is not freed: aclrtIpcMemClose gives it back"
            : "no allocation starts at this address: aclrtMalloc did not give it, or it "
              "was freed");
  }
  region = addresses.Remove(base);
  if (region == nullptr) {
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID, "another thread has just freed this address");
  }
  FreeInDriver(region->handle);
  return {};
}

}  // namespace npu_ipc::sim
