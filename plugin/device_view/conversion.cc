#include "plugin/device_view/conversion.h"

#include <utility>

#include "plugin/device_view/proto/device_view.pb.h"

namespace npu_ipc::device_view {
namespace {

namespace v1 = npu::ipc::v1;
using hal::ChipFamily;
using hal::HealthLevel;
using hal::LinkType;

// The pairs are listed, so that a value which is added to one side alone is not silently another
// one on the other.
constexpr std::pair<ChipFamily, v1::ChipFamily> kFamilies[] = {
    {ChipFamily::kAscend910B, v1::CHIP_FAMILY_ASCEND_910B},
    {ChipFamily::kAscend910C, v1::CHIP_FAMILY_ASCEND_910C},
};
constexpr std::pair<HealthLevel, v1::HealthLevel> kLevels[] = {
    {HealthLevel::kOk, v1::HEALTH_LEVEL_OK},
    {HealthLevel::kMinor, v1::HEALTH_LEVEL_MINOR},
    {HealthLevel::kMajor, v1::HEALTH_LEVEL_MAJOR},
    {HealthLevel::kCritical, v1::HEALTH_LEVEL_CRITICAL},
    {HealthLevel::kAbsent, v1::HEALTH_LEVEL_ABSENT},
};
constexpr std::pair<LinkType, v1::LinkType> kLinks[] = {
    {LinkType::kSystem, v1::LINK_TYPE_SYSTEM},
    {LinkType::kPciHost, v1::LINK_TYPE_PCI_HOST},
    {LinkType::kHccs, v1::LINK_TYPE_HCCS},
    {LinkType::kPciMulti, v1::LINK_TYPE_PCI_MULTI},
    {LinkType::kPciSwitch, v1::LINK_TYPE_PCI_SWITCH},
    {LinkType::kSio, v1::LINK_TYPE_SIO},
    {LinkType::kHccsSwitch, v1::LINK_TYPE_HCCS_SWITCH},
    {LinkType::kUb, v1::LINK_TYPE_UB},
};

template <class Ours, class Theirs, size_t N>
Theirs Encode(const std::pair<Ours, Theirs> (&pairs)[N], Ours value) {
  for (const auto& [ours, theirs] : pairs) {
    if (ours == value) return theirs;
  }
  return Theirs(0);  // *_UNSPECIFIED
}

template <class Ours, class Theirs, size_t N>
std::optional<Ours> Decode(const std::pair<Ours, Theirs> (&pairs)[N], Theirs value) {
  for (const auto& [ours, theirs] : pairs) {
    if (theirs == value) return ours;
  }
  return std::nullopt;
}

int64_t Encode(WallTime time) { return time.time_since_epoch().count(); }
WallTime DecodeTime(int64_t unix_ms) { return WallTime(std::chrono::milliseconds(unix_ms)); }

void Encode(const Health& health, v1::Health* out) {
  out->set_healthy(health.healthy);
  if (health.level) out->set_level(Encode(kLevels, *health.level));
  out->mutable_fault_codes()->Add(health.fault_codes.begin(), health.fault_codes.end());
  out->set_reason(health.reason);
  out->set_since_unix_ms(Encode(health.since));
}

Health Decode(const v1::Health& in) {
  Health health;
  health.healthy = in.healthy();
  health.level = Decode(kLevels, in.level());
  health.fault_codes.assign(in.fault_codes().begin(), in.fault_codes().end());
  health.reason = in.reason();
  health.since = DecodeTime(in.since_unix_ms());
  return health;
}

void Encode(const DeviceState& device, v1::Device* out) {
  const hal::Device& hardware = device.hardware;
  out->set_id(device.id);
  out->set_resource(device.resource);
  out->set_physical_id(hardware.physical_id);
  out->set_logical_id(hardware.logical_id);
  out->set_card_id(hardware.card_id);
  out->set_device_id_in_card(hardware.device_id_in_card);
  out->set_family(Encode(kFamilies, hardware.family));
  out->set_chip_name(hardware.chip_name);
  out->set_serial(hardware.serial);
  out->set_pci_address(hardware.pci_address);
  if (hardware.numa_node) out->set_numa_node(*hardware.numa_node);
  out->set_memory_bytes(hardware.memory_bytes);
  out->set_device_node(hardware.device_node);
  if (device.device_share) out->set_device_share(*device.device_share);
  Encode(device.health, out->mutable_health());
  for (const Health& health : device.health_history) Encode(health, out->add_health_history());
  out->set_health_changes(device.health_changes);
}

DeviceState Decode(const v1::Device& in) {
  DeviceState device;
  device.id = in.id();
  device.resource = in.resource();
  hal::Device& hardware = device.hardware;
  hardware.physical_id = in.physical_id();
  hardware.logical_id = in.logical_id();
  hardware.card_id = in.card_id();
  hardware.device_id_in_card = in.device_id_in_card();
  hardware.family = Decode(kFamilies, in.family()).value_or(ChipFamily::kAscend910B);
  hardware.chip_name = in.chip_name();
  hardware.serial = in.serial();
  hardware.pci_address = in.pci_address();
  if (in.has_numa_node()) hardware.numa_node = in.numa_node();
  hardware.memory_bytes = in.memory_bytes();
  hardware.device_node = in.device_node();
  if (in.has_device_share()) device.device_share = in.device_share();
  device.health = Decode(in.health());
  for (const v1::Health& health : in.health_history()) {
    device.health_history.push_back(Decode(health));
  }
  device.health_changes = in.health_changes();
  return device;
}

void Encode(const hal::DeviceUsage& usage, v1::Usage* out) {
  if (usage.memory_used_bytes) out->set_memory_used_bytes(*usage.memory_used_bytes);
  if (usage.memory_bandwidth_percent) {
    out->set_memory_bandwidth_percent(*usage.memory_bandwidth_percent);
  }
  if (usage.temperature_celsius) out->set_temperature_celsius(*usage.temperature_celsius);
  if (usage.memory_temperature_celsius) {
    out->set_memory_temperature_celsius(*usage.memory_temperature_celsius);
  }
  if (usage.ai_core_percent) out->set_ai_core_percent(*usage.ai_core_percent);
  if (usage.ai_cpu_percent) out->set_ai_cpu_percent(*usage.ai_cpu_percent);
  if (usage.vector_core_percent) out->set_vector_core_percent(*usage.vector_core_percent);
}

hal::DeviceUsage Decode(const v1::Usage& in) {
  hal::DeviceUsage usage;
  if (in.has_memory_used_bytes()) usage.memory_used_bytes = in.memory_used_bytes();
  if (in.has_memory_bandwidth_percent()) {
    usage.memory_bandwidth_percent = in.memory_bandwidth_percent();
  }
  if (in.has_temperature_celsius()) usage.temperature_celsius = in.temperature_celsius();
  if (in.has_memory_temperature_celsius()) {
    usage.memory_temperature_celsius = in.memory_temperature_celsius();
  }
  if (in.has_ai_core_percent()) usage.ai_core_percent = in.ai_core_percent();
  if (in.has_ai_cpu_percent()) usage.ai_cpu_percent = in.ai_cpu_percent();
  if (in.has_vector_core_percent()) usage.vector_core_percent = in.vector_core_percent();
  return usage;
}

void Encode(const Allocation& allocation, v1::Allocation* out) {
  out->set_id(allocation.id);
  out->set_resource(allocation.resource);
  for (const std::string& id : allocation.device_ids) out->add_device_ids(id);
  out->set_allocated_unix_ms(Encode(allocation.allocated));
  out->set_pod_namespace(allocation.pod_namespace);
  out->set_pod_name(allocation.pod_name);
  out->set_container_name(allocation.container_name);
}

Allocation Decode(const v1::Allocation& in) {
  Allocation allocation;
  allocation.id = in.id();
  allocation.resource = in.resource();
  allocation.device_ids.assign(in.device_ids().begin(), in.device_ids().end());
  allocation.allocated = DecodeTime(in.allocated_unix_ms());
  allocation.pod_namespace = in.pod_namespace();
  allocation.pod_name = in.pod_name();
  allocation.container_name = in.container_name();
  return allocation;
}

void Encode(const ResourceStatistics& statistics, v1::Resource* out) {
  out->set_registrations(statistics.registrations);
  out->set_allocate_failures(statistics.allocate_failures);
  v1::Histogram* const histogram = out->mutable_allocate_seconds();
  for (const double bound : LatencyHistogram::kUpperBoundsSeconds) {
    histogram->add_upper_bounds(bound);
  }
  for (const uint64_t count : statistics.allocate.counts) histogram->add_counts(count);
  histogram->set_sum(statistics.allocate.sum_seconds);
}

// A histogram with other bounds than ours keeps its sum and count: each of its buckets goes where
// its bound belongs.
LatencyHistogram Decode(const v1::Histogram& in) {
  LatencyHistogram histogram;
  for (int i = 0; i < in.counts_size(); ++i) {
    size_t bucket = histogram.counts.size() - 1;
    if (i < in.upper_bounds_size()) {
      for (bucket = 0; bucket < LatencyHistogram::kUpperBoundsSeconds.size(); ++bucket) {
        if (in.upper_bounds(i) <= LatencyHistogram::kUpperBoundsSeconds[bucket]) break;
      }
    }
    histogram.counts[bucket] += in.counts(i);
  }
  histogram.sum_seconds = in.sum();
  return histogram;
}

ResourceStatistics Decode(const v1::Resource& in) {
  ResourceStatistics statistics;
  statistics.registrations = in.registrations();
  statistics.allocate_failures = in.allocate_failures();
  statistics.allocate = Decode(in.allocate_seconds());
  return statistics;
}

void Encode(const NodeFacts& facts, v1::Node* out) {
  out->set_driver_version(facts.driver_version);
  out->set_problem(facts.problem);
  out->set_allocations_problem(facts.allocations_problem);
  out->set_plugin_version(facts.plugin_version);
  if (facts.last_look) out->set_observed_unix_ms(Encode(*facts.last_look));
}

NodeFacts Decode(const v1::Node& in) {
  NodeFacts facts;
  facts.driver_version = in.driver_version();
  facts.problem = in.problem();
  facts.allocations_problem = in.allocations_problem();
  facts.plugin_version = in.plugin_version();
  if (in.observed_unix_ms() != 0) facts.last_look = DecodeTime(in.observed_unix_ms());
  return facts;
}

}  // namespace

void ToProto(const NodeChange& change, v1::Update* update) {
  update->set_sequence(change.sequence);
  update->set_from_sequence(change.from_sequence);
  if (change.facts) Encode(*change.facts, update->mutable_node());
  for (const DeviceState& device : change.devices) Encode(device, update->add_devices());
  for (const std::string& id : change.removed_devices) update->add_removed_device_ids(id);
  for (const auto& [id, usage] : change.usage) {
    v1::Usage* const added = update->add_usage();
    added->set_device_id(id);
    Encode(usage, added);
  }
  if (change.links) {
    v1::Topology* const topology = update->mutable_topology();
    for (const Link& link : *change.links) {
      v1::Link* const added = topology->add_links();
      added->set_physical_id_a(link.physical_id_a);
      added->set_physical_id_b(link.physical_id_b);
      added->set_type(Encode(kLinks, link.type));
    }
  }
  for (const Allocation& allocation : change.allocations) {
    Encode(allocation, update->add_allocations());
  }
  for (const uint64_t id : change.removed_allocations) update->add_removed_allocation_ids(id);
  for (const auto& [name, statistics] : change.resources) {
    v1::Resource* const added = update->add_resources();
    added->set_name(name);
    Encode(statistics, added);
  }
}

NodeChange FromProto(const v1::Update& update) {
  NodeChange change;
  change.sequence = update.sequence();
  change.from_sequence = update.from_sequence();
  if (update.has_node()) change.facts = Decode(update.node());
  for (const v1::Device& device : update.devices()) change.devices.push_back(Decode(device));
  change.removed_devices.assign(update.removed_device_ids().begin(),
                                update.removed_device_ids().end());
  for (const v1::Usage& usage : update.usage()) change.usage[usage.device_id()] = Decode(usage);
  if (update.has_topology()) {
    std::vector<Link>& links = change.links.emplace();
    for (const v1::Link& link : update.topology().links()) {
      links.push_back({link.physical_id_a(), link.physical_id_b(),
                       Decode(kLinks, link.type()).value_or(LinkType::kUnknown)});
    }
  }
  for (const v1::Allocation& allocation : update.allocations()) {
    change.allocations.push_back(Decode(allocation));
  }
  change.removed_allocations.assign(update.removed_allocation_ids().begin(),
                                    update.removed_allocation_ids().end());
  for (const v1::Resource& resource : update.resources()) {
    change.resources[resource.name()] = Decode(resource);
  }
  return change;
}

}  // namespace npu_ipc::device_view
