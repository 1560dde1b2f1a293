// Device memory: one memfd an allocation, counted against its device.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "hal/base/fd.h"
#include "hal/sim/driver/verdict.h"

namespace npu_ipc::sim {

struct Allocation {
  uint64_t handle;
  pid_t owner;
  uint32_t device;
  uint64_t length;  // rounded up to whole pages
  uint64_t page_bytes;
  UniqueFd memory;  // sealed: whoever has it cannot change its size under the others
};

// Pages are the kernel's to give, at first touch: a device's 64 GiB cost nothing until used. Not
// thread safe.
class Memory {
 public:
  Memory(uint32_t device_count, uint64_t bytes_per_device)
      : bytes_per_device_(bytes_per_device), used_(device_count) {}

  // `*allocation` stays this object's, until it is freed. EINVAL: no such page size (4 KiB, 2 MiB,
  // 1 GiB), or no length. ENOMEM: the device has no room. `device` must exist.
  Verdict Allocate(pid_t pid, uint32_t device, uint64_t length, uint64_t page_bytes,
                   const Allocation** allocation);
  // nullptr: no such allocation, or another process'.
  const Allocation* Find(pid_t pid, uint64_t handle) const;
  // The memory of a handle that is known to be live, whoever owns it.
  const Allocation& Get(uint64_t handle) const { return *allocations_.at(handle); }
  // Returns the accounting; the memory itself lives until the last mapping of it is gone. The
  // handle must be live.
  void Free(uint64_t handle);

  std::vector<uint64_t> HandlesOf(pid_t pid) const;
  uint64_t used(uint32_t device) const { return used_[device]; }
  uint64_t total() const { return bytes_per_device_; }
  uint64_t UsedBy(pid_t pid, uint32_t device) const;

 private:
  uint64_t bytes_per_device_;
  uint64_t next_handle_ = 1;
  std::vector<uint64_t> used_;
  std::unordered_map<uint64_t, std::unique_ptr<Allocation>> allocations_;
  std::unordered_map<pid_t, std::unordered_map<uint64_t, const Allocation*>> by_process_;
};

}  // namespace npu_ipc::sim
