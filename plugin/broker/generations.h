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
//
// Nothing is kept on a disk: `floor` is GenerationFloor() at the broker's start. A broker gives
// less than one generation a microsecond, so that none before this one has given a higher one.
class Generations {
 public:
  explicit Generations(size_t capacity, uint64_t floor = 0)
      : capacity_(capacity), forgotten_(floor) {}

  // Above the floor for a name's first publish; higher each time after that.
  uint64_t Next(const RegionName& name);

  // Whether the name may have been given this generation, by this broker or one before.
  bool MayHaveGiven(const RegionName& name, uint64_t generation) const;

  // Whether the name has been given a higher one since, as far as is remembered.
  bool GivenSince(const RegionName& name, uint64_t generation) const;

 private:
  const size_t capacity_;
  uint64_t forgotten_;  // the highest generation that was forgotten
  std::unordered_map<RegionName, uint64_t, RegionNameHash> last_;
  std::deque<const RegionName*> oldest_first_;  // keys of last_, which stay where they are
};

// Microseconds since the machine was started, suspends included.
uint64_t GenerationFloor();

}  // namespace npu_ipc::broker
