#include "hal/sim/libruntime/address_space.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <iterator>
#include <utility>

namespace npu_ipc::sim {
namespace {

RtStatus NoAddresses(size_t bytes, int error) {
  return RtStatus(ACL_ERROR_RT_MEMORY_ALLOCATION,
                  "cannot map " + std::to_string(bytes) + " bytes: " + ::strerror(error));
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : begin_(std::exchange(other.begin_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(begin_, other.begin_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (begin_ != nullptr) ::munmap(begin_, bytes_);
}

RtResult<Mapping> Mapping::Reserve(size_t bytes, size_t alignment) {
  const size_t whole = bytes + alignment;
  if (whole < bytes) return NoAddresses(bytes, ENOMEM);
  void* const start =
      ::mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return NoAddresses(bytes, errno);
  // Give back what the alignment leaves over on both sides.
  const auto first = reinterpret_cast<uintptr_t>(start);
  const uintptr_t aligned = (first + alignment - 1) & ~(alignment - 1);
  const size_t before = aligned - first;
  const size_t after = whole - before - bytes;
  if (before != 0) ::munmap(start, before);
  if (after != 0) ::munmap(reinterpret_cast<void*>(aligned + bytes), after);
  return Mapping(reinterpret_cast<uint8_t*>(aligned), bytes);
}

RtResult<Mapping> Mapping::Share(int descriptor, size_t offset, size_t bytes) {
  void* const start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor,
                             static_cast<off_t>(offset));
  if (start == MAP_FAILED) return NoAddresses(bytes, errno);
  // A forked child has no device memory; it must not keep its parent's alive either.
  ::madvise(start, bytes, MADV_DONTFORK);
  return Mapping(static_cast<uint8_t*>(start), bytes);
}

void AddressSpace::Add(std::shared_ptr<const Region> region) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uintptr_t base = region->base();
  regions_.emplace(base, std::move(region));
}

std::shared_ptr<const Region> AddressSpace::Find(const void* pointer) const {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  std::lock_guard<std::mutex> lock(mutex_);
  auto after = regions_.upper_bound(address);
  if (after == regions_.begin()) return nullptr;
  const std::shared_ptr<const Region>& region = std::prev(after)->second;
  return address - region->base() < region->bytes ? region : nullptr;
}

bool AddressSpace::Overlaps(const void* pointer, size_t bytes) const {
  const auto first = reinterpret_cast<uintptr_t>(pointer);
  if (Find(pointer) != nullptr) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto next = regions_.lower_bound(first);
  return next != regions_.end() && next->first - first < bytes;
}

std::shared_ptr<const Region> AddressSpace::Remove(const void* base) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = regions_.find(reinterpret_cast<uintptr_t>(base));
  if (found == regions_.end()) return nullptr;
  std::shared_ptr<const Region> region = std::move(found->second);
  regions_.erase(found);
  return region;
}

void AddressSpace::ForgetDevice(uint32_t physical_device) {
  std::vector<std::shared_ptr<const Region>> gone;  // unmapped without the lock
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto entry = regions_.begin(); entry != regions_.end();) {
    if (entry->second->device == physical_device) {
      gone.push_back(std::move(entry->second));
      entry = regions_.erase(entry);
    } else {
      ++entry;
    }
  }
}

}  // namespace npu_ipc::sim
