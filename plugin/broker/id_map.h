// Hash tables for what an attach looks up: a lookup among 100,000 touches few cache lines that it
// has not touched before, which std::unordered_map's chains of nodes do not do.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/node_hash_map.h>
#include <stddef.h>
#include <stdint.h>

namespace npu_ipc::broker {

// Ids are given one after the other, addresses are multiples of 16: spread over all bits.
struct SpreadHash {
  size_t operator()(uint64_t value) const {
    value *= 0x9e3779b97f4a7c15;  // 2^64 by the golden ratio
    return static_cast<size_t>(value ^ (value >> 32));
  }
  size_t operator()(const void* address) const {
    return (*this)(reinterpret_cast<uintptr_t>(address));
  }
};

// Values stay where they are until they are erased; iterators do not outlive an insertion.
template <class Value>
using IdMap = absl::node_hash_map<uint64_t, Value, SpreadHash>;

// Neither values nor iterators outlive an insertion.
template <class Key, class Value>
using FlatMap = absl::flat_hash_map<Key, Value, SpreadHash>;

}  // namespace npu_ipc::broker
