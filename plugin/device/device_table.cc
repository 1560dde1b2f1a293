#include "plugin/device/device_table.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace npu_ipc::device {
namespace {

auto Fields(const hal::Device& device) {
  return std::tie(device.physical_id, device.logical_id, device.card_id, device.device_id_in_card,
                  device.family, device.chip_name, device.serial, device.pci_address,
                  device.memory_bytes, device.numa_node, device.device_node);
}

// Why the driver could not show a device that may be ours; "" when it showed all.
std::string SkippedText(const hal::DeviceInventory& inventory) {
  std::string text;
  for (const hal::SkippedDevice& skipped : inventory.skipped) {
    if (skipped.failed) text += (text.empty() ? "" : "; ") + skipped.name + ": " + skipped.reason;
  }
  return text;
}

}  // namespace

std::string DeviceId(uint32_t physical_id) { return "npu-" + std::to_string(physical_id); }

hal::LinkType LinkBetween(const LinkTable& links, uint32_t physical_id_a, uint32_t physical_id_b) {
  if (physical_id_a == physical_id_b) return hal::LinkType::kSelf;
  const auto found = links.find(std::minmax(physical_id_a, physical_id_b));
  return found == links.end() ? hal::LinkType::kUnknown : found->second;
}

bool SchedulableDevice::operator==(const SchedulableDevice& other) const {
  return id == other.id && healthy == other.healthy && reason == other.reason &&
         degraded == other.degraded && Fields(hardware) == Fields(other.hardware);
}

DeviceTable::DeviceTable(const HealthThresholds& thresholds, FaultTable faults)
    : thresholds_(thresholds),
      faults_(std::move(faults)),
      snapshot_(std::make_shared<const Snapshot>()) {}

bool DeviceTable::Observe(const Observation& observation) {
  if (observation.inventory.ok()) {
    ObserveInventory(observation);
    for (const auto& [pair, link] : observation.links) links_[pair] = link;
    return Publish(SkippedText(*observation.inventory));
  }
  const std::string problem = observation.inventory.status().message();
  for (auto& [physical_id, entry] : entries_) Judge(entry, Verdict::kUnanswered, problem);
  return Publish(problem);
}

void DeviceTable::JudgePresent(Entry& entry, const Observation& observation) const {
  const uint32_t physical_id = entry.device.hardware.physical_id;
  const auto health = observation.health.find(physical_id);
  const auto sharing = observation.sharing.find(physical_id);
  if (health == observation.health.end()) {
    return Judge(entry, Verdict::kUnanswered, "the driver was not asked for its health");
  }
  if (!health->second.ok()) {
    return Judge(entry, Verdict::kUnanswered, health->second.status().message());
  }
  entry.device.degraded = faults_.Degradation(*health->second);
  const std::string fault = faults_.Judge(*health->second);
  if (!fault.empty()) return Judge(entry, Verdict::kBad, fault);
  if (sharing == observation.sharing.end() || sharing->second.ok()) {
    return Judge(entry, Verdict::kGood, "");
  }
  const bool passes = sharing->second.code() == StatusCode::kUnavailable;
  Judge(entry, passes ? Verdict::kUnanswered : Verdict::kBad, sharing->second.message());
}

void DeviceTable::ObserveInventory(const Observation& observation) {
  const hal::DeviceInventory& inventory = *observation.inventory;
  std::set<uint32_t> present;
  for (const hal::Device& device : inventory.devices) {
    if (!present.insert(device.physical_id).second) continue;  // named twice: the first counts
    Entry& entry = entries_[device.physical_id];
    entry.device.id = DeviceId(device.physical_id);
    entry.device.hardware = device;
    JudgePresent(entry, observation);
  }
  // A device that the driver failed to describe may be any of the missing ones.
  const std::string skipped = SkippedText(inventory);
  for (auto& [physical_id, entry] : entries_) {
    if (present.count(physical_id) != 0) continue;
    if (skipped.empty()) {
      Judge(entry, Verdict::kBad, "the driver no longer lists it");
    } else {
      Judge(entry, Verdict::kUnanswered, skipped);
    }
  }
}

bool DeviceTable::ObserveHang(const std::string& problem) {
  for (auto& [physical_id, entry] : entries_) Judge(entry, Verdict::kBad, problem);
  return Publish(problem);
}

void DeviceTable::JudgeGood(Entry& entry, bool first) const {
  constexpr int kMostDoublings = 5;
  SchedulableDevice& device = entry.device;
  entry.failures = 0;
  if (device.healthy) {
    if (++entry.calm_looks >= thresholds_.calm) entry.falls = 0;
    return;
  }
  const int doublings = std::clamp(entry.falls - 1, 0, kMostDoublings);
  if (!first && ++entry.recoveries < thresholds_.recoveries << doublings) return;
  device.healthy = true;
  device.reason.clear();
}

void DeviceTable::Judge(Entry& entry, Verdict verdict, const std::string& reason) const {
  SchedulableDevice& device = entry.device;
  const bool first = !std::exchange(entry.seen, true);
  if (verdict == Verdict::kGood) return JudgeGood(entry, first);
  entry.recoveries = 0;
  entry.calm_looks = 0;
  if (verdict == Verdict::kBad) entry.failures = 0;
  if (verdict == Verdict::kUnanswered && !first && ++entry.failures < thresholds_.failures) return;
  if (device.healthy) ++entry.falls;
  device.healthy = false;
  device.reason = reason;
}

bool DeviceTable::Publish(std::string problem) {
  auto next = std::make_shared<Snapshot>();
  next->problem = std::move(problem);
  next->links = links_;
  for (const auto& [physical_id, entry] : entries_) next->devices.push_back(entry.device);
  if (next->devices == snapshot_->devices && next->problem == snapshot_->problem &&
      next->links == snapshot_->links) {
    return false;
  }
  snapshot_ = std::move(next);
  return true;
}

}  // namespace npu_ipc::device
