#include "hal/sim/driver/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace npu_ipc::sim {
namespace {

constexpr uint64_t kPageSizes[] = {uint64_t{4} << 10, uint64_t{2} << 20, uint64_t{1} << 30};

bool IsPageSize(uint64_t bytes) {
  for (const uint64_t size : kPageSizes) {
    if (bytes == size) return true;
  }
  return false;
}

// Empty when the host has no descriptor or memory for it.
UniqueFd MakeMemory(uint32_t device, uint64_t length) {
  const std::string name = "npu" + std::to_string(device) + "-memory";
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(length)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return UniqueFd();
  }
  return fd;
}

}  // namespace

Verdict Memory::Allocate(pid_t pid, uint32_t device, uint64_t length, uint64_t page_bytes,
                         const Allocation** allocation) {
  if (!IsPageSize(page_bytes)) return {EINVAL, "pages are of 4 KiB, 2 MiB or 1 GiB"};
  if (length == 0) return {EINVAL, "nothing to allocate"};
  const uint64_t room = bytes_per_device_ - used_[device];
  if (length > room) return {ENOMEM, "the device has no room"};
  const uint64_t rounded = (length + page_bytes - 1) / page_bytes * page_bytes;
  if (rounded > room) return {ENOMEM, "the device has no room"};

  auto made = std::make_unique<Allocation>();
  made->handle = next_handle_;
  made->owner = pid;
  made->device = device;
  made->length = rounded;
  made->page_bytes = page_bytes;
  made->memory = MakeMemory(device, rounded);
  if (!made->memory) return {ENOMEM, "the host gave no memfd for the device's memory"};
  ++next_handle_;
  used_[device] += rounded;
  *allocation = made.get();
  by_process_[pid].emplace(made->handle, made.get());
  allocations_.emplace(made->handle, std::move(made));
  return {};
}

const Allocation* Memory::Find(pid_t pid, uint64_t handle) const {
  const auto found = allocations_.find(handle);
  if (found == allocations_.end() || found->second->owner != pid) return nullptr;
  return found->second.get();
}

void Memory::Free(uint64_t handle) {
  const auto found = allocations_.find(handle);
  const Allocation& allocation = *found->second;
  used_[allocation.device] -= allocation.length;
  const auto owned = by_process_.find(allocation.owner);
  owned->second.erase(handle);
  if (owned->second.empty()) by_process_.erase(owned);
  allocations_.erase(found);
}

std::vector<uint64_t> Memory::HandlesOf(pid_t pid) const {
  std::vector<uint64_t> handles;
  const auto owned = by_process_.find(pid);
  if (owned == by_process_.end()) return handles;
  for (const auto& [handle, allocation] : owned->second) handles.push_back(handle);
  return handles;
}

uint64_t Memory::UsedBy(pid_t pid, uint32_t device) const {
  uint64_t bytes = 0;
  const auto owned = by_process_.find(pid);
  if (owned == by_process_.end()) return 0;
  for (const auto& [handle, allocation] : owned->second) {
    if (allocation->device == device) bytes += allocation->length;
  }
  return bytes;
}

}  // namespace npu_ipc::sim
