// Which of the free cards a container is best given: pure logic over the node's links and NUMA
// nodes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <optional>
#include <vector>

#include "plugin/device/device_table.h"

namespace npu_ipc::device {

// A card of the resource: one that can be schedulable several times, as `replicas`.
struct CardState {
  uint32_t physical_id = 0;
  uint32_t card_id = 0;  // the driver's: both dies of a 910C module have the same
  std::optional<int32_t> numa_node;
  size_t replicas = 1;  // that it is advertised as
  size_t free = 0;      // of them, that the request may have, those that it must have included
  size_t required = 0;  // of them, that the request must have
};

// What a choice of cards costs. The earlier member decides, the lower is better; of equal choices
// that with the lowest physical ids is taken.
//
// A group is what HCCS, HCCS_SW, SIO and UB links connect: all of a 910B mesh or of a 910C node,
// one half of a Box16. Devices of two groups are at the same position when a link between them
// carries peer access; where no link between the two groups does, when they have the same rank in
// their groups. A module is what SIO links, or the driver's numbering as one card, connect: the two
// dies of a 910C. Links decide, ids do not: cards can be numbered in any order.
//
// From the vendor's affinity rules (mind-cluster: 03_ascend_ai_processor_based_affinity.md): a
// Box16 serves up to 8 from one group and 10, 12 and 14 evenly at the same positions; even requests
// take whole modules of a 910C.
struct ChoiceCost {
  size_t groups = 0;           // that it is spread over
  size_t imbalance = 0;        // between the most and the fewest cards that it takes of a group
  size_t unpaired = 0;         // cards with none at the same position, when it has several groups
  size_t partial_modules = 0;  // that it takes some dies of, and not all
  size_t broken_modules = 0;   // of these, that were wholly free before
  size_t crowding = 0;         // replicas of its cards that are others' already
  size_t numa_nodes = 0;       // that it is spread over; unknown counts as a node
  size_t group_left = 0;       // free cards that stay in the groups that it takes from: best fit
  size_t numa_left = 0;        // the same of NUMA nodes

  auto operator<=>(const ChoiceCost&) const = default;
};

// How many replicas of each of `cards` (in their order) a request for `size` is best given: at
// least what is required, at most what is free, spread over as many cards as there are before any
// is given twice. `cards` are all of the resource, by ascending physical id, also those that have
// nothing free: they tell which modules are whole.
//
// Deterministic. Of up to 16 free cards, as many as the largest node of today has, no other choice
// costs less; of more, no exchange of one card for another does. Empty when it cannot be done: too
// few are free, or more are required.
std::optional<std::vector<size_t>> ChooseReplicas(const std::vector<CardState>& cards,
                                                  const LinkTable& links, size_t size);

}  // namespace npu_ipc::device
