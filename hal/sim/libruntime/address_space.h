// Device addresses of this process, and where the memory behind them really is.
//
// A device address is a reservation that the CPU cannot touch (PROT_NONE). The memory itself, a
// memfd of the driver's, is mapped somewhere else, and only the runtime's copies know where.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hal/sim/libruntime/devices.h"
#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// An mmap(2) that ends with its owner.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // `bytes` of addresses that nothing may touch, from a multiple of `alignment` (a power of two).
  static RtResult<Mapping> Reserve(size_t bytes, size_t alignment);
  // `bytes` of `descriptor` from `offset`, readable and writable, shared with whoever maps it too.
  static RtResult<Mapping> Share(int descriptor, size_t offset, size_t bytes);

  uint8_t* begin() const { return begin_; }
  size_t bytes() const { return bytes_; }

 private:
  Mapping(uint8_t* begin, size_t bytes) : begin_(begin), bytes_(bytes) {}

  uint8_t* begin_ = nullptr;
  size_t bytes_ = 0;
};

// One allocation, import or registered host range. Constant once it is in the AddressSpace.
struct Region {
  enum class Kind { kAllocation, kImport, kRegisteredHost };

  Kind kind = Kind::kAllocation;
  Mapping addresses;        // the device address range
  Mapping memory;           // empty for kRegisteredHost: the host's own
  uint8_t* real = nullptr;  // where addresses.begin() really is
  size_t bytes = 0;         // usable
  size_t page_bytes = 0;
  uint32_t device = 0;         // physical: whose address it is
  uint32_t memory_device = 0;  // physical: where the memory is; another only for kImport
  uint64_t handle = 0;         // the driver's, of kAllocation
  std::shared_ptr<const ValidityPage> validity;  // of kImport
  uint32_t validity_slot = 0;

  uintptr_t base() const { return reinterpret_cast<uintptr_t>(addresses.begin()); }
  bool IsAcrossDevices() const { return device != memory_device; }
  // Whether the pages may still be reached: an import's exporter may have ended or closed.
  bool IsReachable() const { return validity == nullptr || validity->IsValid(validity_slot); }
};

// Safe for concurrent use. A region that is removed stays mapped until the last reference is gone,
// so a copy that runs meanwhile ends well.
class AddressSpace {
 public:
  void Add(std::shared_ptr<const Region> region);
  // The region that `pointer` is in; nullptr for what is no device address.
  std::shared_ptr<const Region> Find(const void* pointer) const;
  // Whether any device address lies in [pointer, pointer + bytes).
  bool Overlaps(const void* pointer, size_t bytes) const;
  // Takes the region out that begins at `base`; nullptr when there is none.
  std::shared_ptr<const Region> Remove(const void* base);
  void ForgetDevice(uint32_t physical_device);

 private:
  mutable std::mutex mutex_;
  std::map<uintptr_t, std::shared_ptr<const Region>> regions_;  // guarded by mutex_
};

}  // namespace npu_ipc::sim
