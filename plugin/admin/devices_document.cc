#include <string>
#include <utility>

#include "plugin/admin/document.h"
#include "plugin/admin/documents.h"

namespace npu_ipc::admin {
namespace {

using device_view::DeviceState;
using device_view::NodeState;
using Json = nlohmann::json;

template <class T>
void AddIfKnown(const char* name, const std::optional<T>& value, Json* described) {
  if (value) (*described)[name] = *value;
}

Json DescribeHealth(const device_view::Health& health) {
  Json described = {{"healthy", health.healthy},
                    {"reason", health.reason},
                    {"faultCodes", health.fault_codes},
                    {"since", FormatTime(health.since)}};
  if (health.level) described["level"] = hal::HealthLevelName(*health.level);
  return described;
}

Json DescribeUsage(const hal::DeviceUsage& usage) {
  Json described = Json::object();
  AddIfKnown("memoryUsedBytes", usage.memory_used_bytes, &described);
  AddIfKnown("memoryBandwidthPercent", usage.memory_bandwidth_percent, &described);
  AddIfKnown("temperatureCelsius", usage.temperature_celsius, &described);
  AddIfKnown("aiCorePercent", usage.ai_core_percent, &described);
  AddIfKnown("aiCpuPercent", usage.ai_cpu_percent, &described);
  AddIfKnown("vectorCorePercent", usage.vector_core_percent, &described);
  return described;
}

Json DescribeDevice(const DeviceState& device, const NodeState& state,
                    const DeviceAllocations& allocations) {
  const hal::Device& hardware = device.hardware;
  Json described = {{"id", device.id},
                    {"resource", device.resource},
                    {"physicalId", hardware.physical_id},
                    {"family", hal::ChipFamilyName(hardware.family)},
                    {"chip", hardware.chip_name},
                    {"card", hardware.card_id},
                    {"serial", hardware.serial},
                    {"pciAddress", hardware.pci_address},
                    {"memoryBytes", hardware.memory_bytes},
                    {"deviceNode", hardware.device_node},
                    {"health", DescribeHealth(device.health)},
                    {"healthChanges", device.health_changes}};
  AddIfKnown("numaNode", hardware.numa_node, &described);
  AddIfKnown("deviceShare", device.device_share, &described);
  const auto usage = state.usage.find(device.id);
  described["usage"] = usage == state.usage.end() ? Json::object() : DescribeUsage(usage->second);
  Json& holders = described["holders"] = Json::array();
  for (const device_view::Allocation* const holder : allocations.HoldersOf(device.id)) {
    holders.push_back({{"namespace", holder->pod_namespace},
                       {"pod", holder->pod_name},
                       {"container", holder->container_name},
                       {"since", FormatTime(holder->allocated)}});
  }
  return described;
}

Json DescribeView(const NodeSnapshot& node) {
  if (!node.devices) return {{"state", "Off"}};
  Json view = {{"state", node.devices->connected ? "Connected" : "Stale"},
               {"problem", node.devices->problem}};
  if (node.devices->state == nullptr && !node.devices->connected) view["state"] = "Never";
  if (node.devices_age) view["ageSeconds"] = Seconds(*node.devices_age);
  return view;
}

}  // namespace

Json DevicesDocument(const NodeSnapshot& node) {
  Json document = NewDocument("DeviceList", node);
  document["view"] = DescribeView(node);
  Json& items = document["items"] = Json::array();
  if (!node.devices || node.devices->state == nullptr) return document;
  const NodeState& state = *node.devices->state;
  document["driverVersion"] = state.facts.driver_version;
  document["pluginVersion"] = state.facts.plugin_version;
  document["problem"] = state.facts.problem;
  document["allocationsProblem"] = state.facts.allocations_problem;
  const DeviceAllocations allocations(node);
  for (const auto& [id, device] : state.devices) {
    items.push_back(DescribeDevice(device, state, allocations));
  }
  Json& links = document["links"] = Json::array();
  for (const device_view::Link& link : state.links) {
    links.push_back({{"a", link.physical_id_a},
                     {"b", link.physical_id_b},
                     {"type", hal::LinkTypeName(link.type)},
                     {"peerAccess", hal::LinkCarriesPeerAccess(link.type)}});
  }
  return document;
}

Json VersionDocument(const NodeSnapshot& node) {
  Json document = NewDocument("Version", node);
  document["brokerVersion"] = node.version;
  document["uptimeSeconds"] = Seconds(node.uptime);
  document["view"] = DescribeView(node);
  if (node.devices && node.devices->state != nullptr) {
    document["pluginVersion"] = node.devices->state->facts.plugin_version;
    document["driverVersion"] = node.devices->state->facts.driver_version;
  }
  return document;
}

Json EventsDocument(const NodeSnapshot& node) {
  Json document = NewDocument("EventList", node);
  Json& items = document["items"] = Json::array();
  for (const Event& event : node.events) {
    items.push_back({{"type", event.type == Event::Type::kRefused ? "Refused" : "Revoked"},
                     {"namespace", event.pod_namespace},
                     {"pod", event.pod_name},
                     {"reason", event.reason},
                     {"message", event.message},
                     {"firstSeen", FormatTime(event.first_seen)},
                     {"lastSeen", FormatTime(event.last_seen)},
                     {"ageSeconds", Seconds(node.time - event.last_seen)},
                     {"count", event.count}});
    if (!event.pod_name.empty()) continue;
    items.back()["pid"] = event.pid;
    items.back()["podUid"] = event.pod_uid;
  }
  return document;
}

}  // namespace npu_ipc::admin
