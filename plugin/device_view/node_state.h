// The node as npu-device-plugin sees it: plain values, the same on both sides of the DeviceView
// service.
#pragma once

#include <stdint.h>

#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::device_view {

// Of the wall clock, to the millisecond: it is for people, and goes over the wire as such.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

struct Health {
  bool healthy = false;                   // as the kubelet was told
  std::optional<hal::HealthLevel> level;  // as the driver grades it; empty if it does not say
  std::vector<uint32_t> fault_codes;
  std::string reason;  // why it is not healthy, for a person
  WallTime since;

  friend bool operator==(const Health&, const Health&) = default;
};

struct DeviceState {
  std::string id;        // as the kubelet knows it
  std::string resource;  // that it is advertised as
  hal::Device hardware;
  std::optional<bool> device_share;  // the driver lets several containers use it; empty: not asked
  Health health;
  std::vector<Health> health_history;  // oldest first; the last is `health`
  uint64_t health_changes = 0;         // between healthy and unhealthy

  friend bool operator==(const DeviceState&, const DeviceState&) = default;
};

// A pair of devices, once: `physical_id_a` is the lower one.
struct Link {
  uint32_t physical_id_a = 0;
  uint32_t physical_id_b = 0;
  hal::LinkType type = hal::LinkType::kUnknown;

  friend bool operator==(const Link&, const Link&) = default;
};

// Devices that one container has.
struct Allocation {
  uint64_t id = 0;  // grows; of one run of the device plugin
  std::string resource;
  std::vector<std::string> device_ids;
  WallTime allocated;  // or first seen, where the device plugin started later
  // Empty until the kubelet has said whose.
  std::string pod_namespace;
  std::string pod_name;
  std::string container_name;

  friend bool operator==(const Allocation&, const Allocation&) = default;
};

// How long calls took. Allocate answers from memory: tens of microseconds are usual, and what takes
// seconds is what an operator looks for.
struct LatencyHistogram {
  static constexpr std::array<double, 12> kUpperBoundsSeconds = {
      0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.1, 1, 10};
  // Of those that are above the bound before; the last is of what is above all bounds.
  std::array<uint64_t, kUpperBoundsSeconds.size() + 1> counts = {};
  double sum_seconds = 0;

  void Observe(double seconds);

  friend bool operator==(const LatencyHistogram&, const LatencyHistogram&) = default;
};

// What the kubelet asked of one resource.
struct ResourceStatistics {
  uint64_t registrations = 0;
  LatencyHistogram allocate;  // every call, refused ones too
  uint64_t allocate_failures = 0;

  friend bool operator==(const ResourceStatistics&, const ResourceStatistics&) = default;
};

struct NodeFacts {
  std::string driver_version;         // empty if the driver does not say
  std::string problem;                // why there are no devices, or not all; empty if all is well
  std::optional<WallTime> last_look;  // when the driver last answered
  std::string allocations_problem;    // why it is not known whose the devices are; empty if it is
  std::string plugin_version;         // of the device plugin; empty if it does not say

  friend bool operator==(const NodeFacts&, const NodeFacts&) = default;
};

struct NodeState {
  uint64_t sequence = 0;  // grows with each state of one run of the device plugin; 0: none yet
  NodeFacts facts;
  std::map<std::string, DeviceState> devices;           // by id
  std::map<std::string, hal::DeviceUsage> usage;        // by device id; none that is empty
  std::vector<Link> links;                              // ascending
  std::map<uint64_t, Allocation> allocations;           // by id
  std::map<std::string, ResourceStatistics> resources;  // by name

  friend bool operator==(const NodeState&, const NodeState&) = default;
};

// What leads from one state to a later one. What is not in it stays as it was.
struct NodeChange {
  uint64_t from_sequence = 0;  // 0: from nothing, so this is a whole state
  uint64_t sequence = 0;
  std::optional<NodeFacts> facts;
  std::vector<DeviceState> devices;  // new or otherwise
  std::vector<std::string> removed_devices;
  std::map<std::string, hal::DeviceUsage> usage;  // an empty one: nothing is known any more
  std::optional<std::vector<Link>> links;
  std::vector<Allocation> allocations;
  std::vector<uint64_t> removed_allocations;
  std::map<std::string, ResourceStatistics> resources;
};

NodeChange Difference(const NodeState& from, const NodeState& to);

// Makes `state` what `change` leads to. kFailedPrecondition, with `state` left as it is, when the
// change starts from another state.
Status Apply(const NodeChange& change, NodeState* state);

// Whether two devices can map each other's memory.
enum class Reachability { kYes, kNo, kUnknown };
struct Reach {
  Reachability answer = Reachability::kUnknown;
  hal::LinkType link = hal::LinkType::kUnknown;  // that says so
};

// By the links of `state`. Unknown without a state, for a device that it does not have, and where
// the driver could not tell the link.
Reach ReachBetween(const NodeState* state, uint32_t physical_id_a, uint32_t physical_id_b);

}  // namespace npu_ipc::device_view
