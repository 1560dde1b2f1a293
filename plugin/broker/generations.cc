#include "plugin/broker/generations.h"

#include <time.h>

#include <algorithm>

namespace npu_ipc::broker {

uint64_t Generations::Next(const RegionName& name) {
  const auto [entry, is_new] = last_.try_emplace(name, forgotten_);
  const uint64_t generation = ++entry->second;
  if (!is_new) return generation;
  oldest_first_.push_back(&entry->first);
  if (oldest_first_.size() > capacity_) {
    const auto oldest = last_.find(*oldest_first_.front());
    forgotten_ = std::max(forgotten_, oldest->second);
    last_.erase(oldest);
    oldest_first_.pop_front();
  }
  return generation;
}

bool Generations::MayHaveGiven(const RegionName& name, uint64_t generation) const {
  const auto known = last_.find(name);
  return generation <= forgotten_ || (known != last_.end() && generation <= known->second);
}

bool Generations::GivenSince(const RegionName& name, uint64_t generation) const {
  const auto known = last_.find(name);
  return known != last_.end() && known->second > generation;
}

uint64_t GenerationFloor() {
  timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace npu_ipc::broker
