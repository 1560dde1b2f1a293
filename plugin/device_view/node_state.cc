#include "plugin/device_view/node_state.h"

#include <algorithm>

namespace npu_ipc::device_view {
namespace {

// Calls `changed` with each entry of `to` that `from` has not, or has otherwise, and `removed` with
// each key of `from` that `to` has not.
template <class Map, class Changed, class Removed>
void Compare(const Map& from, const Map& to, Changed changed, Removed removed) {
  for (const auto& entry : to) {
    const auto before = from.find(entry.first);
    if (before == from.end() || before->second != entry.second) changed(entry);
  }
  for (const auto& entry : from) {
    if (!to.contains(entry.first)) removed(entry.first);
  }
}

}  // namespace

void LatencyHistogram::Observe(double seconds) {
  const auto bound =
      std::lower_bound(kUpperBoundsSeconds.begin(), kUpperBoundsSeconds.end(), seconds);
  ++counts[static_cast<size_t>(bound - kUpperBoundsSeconds.begin())];
  sum_seconds += seconds;
}

NodeChange Difference(const NodeState& from, const NodeState& to) {
  NodeChange change;
  change.from_sequence = from.sequence;
  change.sequence = to.sequence;
  if (from.sequence == 0 || from.facts != to.facts) change.facts = to.facts;
  if (from.sequence == 0 || from.links != to.links) change.links = to.links;
  Compare(
      from.devices, to.devices, [&](const auto& entry) { change.devices.push_back(entry.second); },
      [&](const std::string& id) { change.removed_devices.push_back(id); });
  Compare(
      from.usage, to.usage, [&](const auto& entry) { change.usage.insert(entry); },
      [&](const std::string& id) { change.usage[id] = {}; });
  Compare(
      from.allocations, to.allocations,
      [&](const auto& entry) { change.allocations.push_back(entry.second); },
      [&](uint64_t id) { change.removed_allocations.push_back(id); });
  Compare(
      from.resources, to.resources, [&](const auto& entry) { change.resources.insert(entry); },
      [](const std::string&) {});
  return change;
}

Status Apply(const NodeChange& change, NodeState* state) {
  if (change.from_sequence == 0) {
    *state = {};
  } else if (change.from_sequence != state->sequence) {
    return {StatusCode::kFailedPrecondition,
            "a change of state " + std::to_string(change.from_sequence) +
                " does not fit what is known, state " + std::to_string(state->sequence)};
  }
  state->sequence = change.sequence;
  if (change.facts) state->facts = *change.facts;
  if (change.links) state->links = *change.links;
  for (const DeviceState& device : change.devices) state->devices[device.id] = device;
  for (const std::string& id : change.removed_devices) state->devices.erase(id);
  for (const auto& [id, usage] : change.usage) {
    if (usage == hal::DeviceUsage()) {
      state->usage.erase(id);
    } else {
      state->usage[id] = usage;
    }
  }
  for (const Allocation& allocation : change.allocations) {
    state->allocations[allocation.id] = allocation;
  }
  for (const uint64_t id : change.removed_allocations) state->allocations.erase(id);
  for (const auto& [name, statistics] : change.resources) state->resources[name] = statistics;
  return Status::Ok();
}

Reach ReachBetween(const NodeState* state, uint32_t physical_id_a, uint32_t physical_id_b) {
  if (physical_id_a == physical_id_b) return {Reachability::kYes, hal::LinkType::kSelf};
  if (state == nullptr) return {};
  const auto [low, high] = std::minmax(physical_id_a, physical_id_b);
  for (const Link& link : state->links) {
    if (link.physical_id_a != low || link.physical_id_b != high) continue;
    if (link.type == hal::LinkType::kUnknown) break;
    const bool carries = hal::LinkCarriesPeerAccess(link.type);
    return {carries ? Reachability::kYes : Reachability::kNo, link.type};
  }
  return {};
}

}  // namespace npu_ipc::device_view
