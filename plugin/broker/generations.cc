#include "plugin/broker/generations.h"

#include <algorithm>

namespace npu_ipc::broker {

uint64_t Generations::Next(const RegionName& name) {
  const auto [entry, is_new] = last_.try_emplace(name, forgotten_);
  const uint64_t generation = ++entry->second;
  if (!is_new) return generation;
  oldest_first_.push_back(name);
  if (oldest_first_.size() > capacity_) {
    const auto oldest = last_.find(oldest_first_.front());
    forgotten_ = std::max(forgotten_, oldest->second);
    last_.erase(oldest);
    oldest_first_.pop_front();
  }
  return generation;
}

}  // namespace npu_ipc::broker
