#include "hal/sim/driver/device_conditions.h"

#include <errno.h>

#include <algorithm>
#include <iterator>

namespace npu_ipc::sim {
namespace {

constexpr size_t kMaxFaults = std::size(DeviceRecord{}.fault_codes);

}  // namespace

uint32_t DeviceCondition::Health() const {
  if (health != kHealthOfFaults) return static_cast<uint32_t>(health);
  uint32_t worst = 0;
  for (const Fault& fault : faults) worst = std::max(worst, fault.severity);
  return worst;
}

DeviceConditions::DeviceConditions(const NodeShape& shape, std::function<uint64_t()> time_ms)
    : time_ms_(std::move(time_ms)),
      devices_(shape.devices.size()),
      device_trouble_(shape.devices.size()) {
  for (uint32_t device = 0; device < devices_.size(); ++device) {
    devices_[device].temperature_celsius = shape.chip.temperature_celsius;
    order_.push_back(device);
  }
}

Verdict DeviceConditions::Remove(uint32_t device) {
  if (!IsPresent(device)) return {ENODEV, "the device is not there"};
  devices_[device].present = false;
  std::erase(order_, device);
  return {};
}

Verdict DeviceConditions::Restore(uint32_t device, int64_t position) {
  if (IsPresent(device)) return {EEXIST, "the device is there"};
  const auto count = static_cast<int64_t>(order_.size());
  if (position < -1 || position > count) {
    return {EINVAL, "the logical id is beyond the devices that are there"};
  }
  const auto at = position >= 0 ? order_.begin() + position
                                : std::lower_bound(order_.begin(), order_.end(), device);
  order_.insert(at, device);
  devices_[device].present = true;
  return {};
}

Verdict DeviceConditions::Raise(uint32_t device, Fault fault) {
  std::vector<Fault>& faults = devices_[device].faults;
  std::erase_if(faults, [&](const Fault& other) { return other.code == fault.code; });
  if (faults.size() >= kMaxFaults) return {ENOSPC, "the device has 32 faults"};
  fault.serial_number = next_serial_number_++;
  fault.raised_at_ms = time_ms_();
  faults.push_back(fault);
  Tell(device, fault, FaultAssertion::kRaised);
  return {};
}

Verdict DeviceConditions::Clear(uint32_t device, uint32_t code) {
  std::vector<Fault>& faults = devices_[device].faults;
  const auto found = std::find_if(faults.begin(), faults.end(),
                                  [&](const Fault& fault) { return fault.code == code; });
  if (found == faults.end()) return {ENOENT, "the device has no such fault"};
  const Fault cleared = *found;
  faults.erase(found);
  Tell(device, cleared, FaultAssertion::kCleared);
  return {};
}

void DeviceConditions::ClearAll(uint32_t device) {
  const std::vector<Fault> cleared = std::move(devices_[device].faults);
  devices_[device].faults.clear();
  for (const Fault& fault : cleared) Tell(device, fault, FaultAssertion::kCleared);
}

void DeviceConditions::Report(uint32_t device, Fault fault) {
  fault.serial_number = next_serial_number_++;
  fault.raised_at_ms = time_ms_();
  Tell(device, fault, FaultAssertion::kOccurred);
}

// A device that is not there reports nothing.
void DeviceConditions::Tell(uint32_t device, const Fault& fault, FaultAssertion assertion) {
  if (IsPresent(device)) on_fault_(device, fault, assertion);
}

}  // namespace npu_ipc::sim
