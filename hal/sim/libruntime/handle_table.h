// What the opaque pointers of the vendor's interface name.
#pragma once

#include <stdint.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace npu_ipc::sim {

// Handles are numbers in a pointer's clothes: no number is given twice in a process or in its
// forked children, so a stale one is told from every live one, and whoever follows one as a pointer
// faults (the kernel maps nothing below 64 KiB, and the numbers' high bits leave every address
// space).
enum class HandleKind : uint64_t { kContext = 0xA1, kStream = 0xA2, kEvent = 0xA3 };

// Objects of one kind by handle. Safe for concurrent use.
template <class T, HandleKind kind>
class HandleTable {
 public:
  void* Add(std::shared_ptr<T> object) {
    static std::atomic<uint64_t> next{1};
    const uint64_t number = (static_cast<uint64_t>(kind) << 56) | (next.fetch_add(1) << 4);
    std::lock_guard<std::mutex> lock(mutex_);
    objects_.emplace(number, std::move(object));
    return reinterpret_cast<void*>(number);
  }

  // nullptr when there is no such object (any more).
  std::shared_ptr<T> Find(const void* handle) const {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uint64_t>(handle));
    return found == objects_.end() ? nullptr : found->second;
  }

  // Takes the object out; nullptr when there is none.
  std::shared_ptr<T> Remove(const void* handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uint64_t>(handle));
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<T> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<T>> objects_;
};

}  // namespace npu_ipc::sim
