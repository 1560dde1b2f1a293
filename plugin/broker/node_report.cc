#include "plugin/broker/node_report.h"

#include <compare>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace npu_ipc::broker {
namespace {

using cluster::Event;
using cluster::EventType;
using device_view::DeviceState;
using device_view::NodeState;

constexpr size_t kMaxLabelBytes = 63;
constexpr uint64_t kMebibyte = 1 << 20;

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// What a label may hold of `text`: at most 63 of [A-Za-z0-9-_.], the first and the last of the
// former.
std::string LabelValue(std::string text) {
  for (char& c : text) {
    if (!IsAlphanumeric(c) && c != '-' && c != '_' && c != '.') c = '_';
  }
  if (text.size() > kMaxLabelBytes) text.resize(kMaxLabelBytes);
  while (!text.empty() && !IsAlphanumeric(text.back())) text.pop_back();
  size_t begin = 0;
  while (begin < text.size() && !IsAlphanumeric(text[begin])) ++begin;
  return text.substr(begin);
}

void SetLabel(cluster::Labels& labels, const std::string& name, const std::set<std::string>& of) {
  std::string text;
  for (const std::string& value : of) {
    if (!value.empty()) text += (text.empty() ? "" : "-") + value;
  }
  std::string value = LabelValue(std::move(text));
  if (!value.empty()) labels[cluster::kLabelPrefix + name] = std::move(value);
}

// One thing that happened to some devices.
struct DeviceChange {
  EventType type = EventType::kWarning;
  std::string reason;
  std::string what;  // "unhealthy, level critical: HBM: double-bit error"

  friend auto operator<=>(const DeviceChange&, const DeviceChange&) = default;
};

DeviceChange HealthChange(const device_view::Health& health) {
  DeviceChange change;
  change.type = health.healthy ? EventType::kNormal : EventType::kWarning;
  change.reason = health.healthy ? "DeviceHealthy" : "DeviceUnhealthy";
  change.what = health.healthy ? "healthy" : "unhealthy";
  if (health.level) change.what += std::string(", level ") + hal::HealthLevelName(*health.level);
  if (!health.reason.empty()) change.what += ": " + health.reason;
  return change;
}

// What happened to each device between two states, and to which.
std::map<DeviceChange, std::vector<std::string>> DeviceChanges(const NodeState* before,
                                                               const NodeState& now) {
  static const std::map<std::string, DeviceState> kNone;
  const std::map<std::string, DeviceState>& known = before == nullptr ? kNone : before->devices;
  std::map<DeviceChange, std::vector<std::string>> changes;
  for (const auto& [id, device] : known) {
    if (now.devices.contains(id)) continue;
    changes[{EventType::kWarning, "DeviceGone", "not there any more"}].push_back(id);
  }
  for (const auto& [id, device] : now.devices) {
    const auto was = known.find(id);
    const bool same = was != known.end() && was->second.health.healthy == device.health.healthy &&
                      was->second.health.level == device.health.level;
    const bool well_at_first = before == nullptr && device.health.healthy;
    if (!same && !well_at_first) changes[HealthChange(device.health)].push_back(id);
  }
  return changes;
}

Event DeviceEvent(const std::string& node_name, const DeviceChange& change,
                  const std::vector<std::string>& ids) {
  std::string names;
  for (const std::string& id : ids) names += (names.empty() ? "" : ", ") + id;
  return {cluster::NodeSubject(node_name), change.type, change.reason,
          names + (ids.size() == 1 ? " is " : " are ") + change.what};
}

std::optional<Event> DriverEvent(const std::string& node_name, const NodeState* before,
                                 const NodeState& now) {
  const std::string was = before == nullptr ? "" : before->facts.problem;
  const std::string& problem = now.facts.problem;
  if (problem == was) return std::nullopt;
  const cluster::EventSubject node = cluster::NodeSubject(node_name);
  if (problem.empty()) {
    return Event{node, EventType::kNormal, "DriverAnswers", "the NPU driver shows all devices"};
  }
  if (now.devices.empty()) {
    return Event{node, EventType::kNormal, "NoDevices", "no NPU is offered: " + problem};
  }
  return Event{node, EventType::kWarning, "DriverProblem", problem};
}

}  // namespace

bool NothingKnownYet(const NodeState& state) {
  return !state.facts.last_look && state.facts.problem.empty();
}

cluster::Labels NodeLabels(const NodeState& state) {
  std::set<std::string> products, chips, memories, links;
  for (const auto& [id, device] : state.devices) {
    products.insert(hal::ChipFamilyName(device.hardware.family));
    chips.insert(device.hardware.chip_name);
    if (device.hardware.memory_bytes > 0) {
      memories.insert(std::to_string(device.hardware.memory_bytes / kMebibyte));
    }
  }
  for (const device_view::Link& link : state.links) links.insert(hal::LinkTypeName(link.type));
  cluster::Labels labels;
  SetLabel(labels, "npu.count", {std::to_string(state.devices.size())});
  SetLabel(labels, "npu.product", products);
  SetLabel(labels, "npu.chip", chips);
  SetLabel(labels, "npu.memory", memories);
  SetLabel(labels, "npu.topology", links);
  SetLabel(labels, "driver.version", {state.facts.driver_version});
  return labels;
}

std::vector<Event> NodeEvents(const std::string& node_name, const NodeState* before,
                              const NodeState& now) {
  std::vector<Event> events;
  for (const auto& [change, ids] : DeviceChanges(before, now)) {
    events.push_back(DeviceEvent(node_name, change, ids));
  }
  if (auto event = DriverEvent(node_name, before, now)) events.push_back(std::move(*event));
  return events;
}

}  // namespace npu_ipc::broker
