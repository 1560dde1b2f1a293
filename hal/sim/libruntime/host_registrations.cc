#include "hal/sim/libruntime/host_registrations.h"

#include <utility>

namespace npu_ipc::sim {
namespace {

constexpr size_t kPageBytes = 4096;

}  // namespace

RtResult<void*> HostRegistrations::Add(uint32_t device, void* base, size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX - kPageBytes) {
    return RtStatus(ACL_ERROR_RT_PARAM_INVALID,
                    "cannot register " + std::to_string(bytes) + " bytes of host memory");
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (device_addresses_.count(base) != 0) {
    return RtStatus(ACL_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
                    "this host memory is registered already");
  }
  RtResult<Mapping> reserved =
      Mapping::Reserve((bytes + kPageBytes - 1) / kPageBytes * kPageBytes, kPageBytes);
  if (!reserved.ok()) return reserved.status();
  auto region = std::make_shared<Region>();
  region->kind = Region::Kind::kRegisteredHost;
  region->addresses = std::move(*reserved);
  region->real = static_cast<uint8_t*>(base);
  region->bytes = bytes;
  region->page_bytes = kPageBytes;
  region->device = device;
  region->memory_device = device;
  void* const address = region->addresses.begin();
  device_addresses_.emplace(base, address);
  addresses_.Add(std::move(region));
  return address;
}

RtStatus HostRegistrations::Remove(const void* base) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = device_addresses_.find(base);
  if (found == device_addresses_.end()) {
    return RtStatus(ACL_ERROR_HOST_MEMORY_NOT_REGISTERED, "this host memory is not registered");
  }
  addresses_.Remove(found->second);
  device_addresses_.erase(found);
  return {};
}

}  // namespace npu_ipc::sim
