// How often each name was published: so that a region that is published again is not taken for the
// one before.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <unordered_map>

#include "plugin/broker/share_types.h"

namespace npu_ipc::broker {

// Remembers the last `capacity` names. A name that was forgotten starts again above every
// generation that was ever forgotten: higher than its own last one all the same. Not thread safe.
class Generations {
 public:
  explicit Generations(size_t capacity) : capacity_(capacity) {}

  // 1 for a name's first publish; higher each time after that.
  uint64_t Next(const RegionName& name);

 private:
  const size_t capacity_;
  uint64_t forgotten_ = 0;  // the highest generation that was forgotten
  std::unordered_map<RegionName, uint64_t, RegionNameHash> last_;
  std::deque<RegionName> oldest_first_;
};

}  // namespace npu_ipc::broker
