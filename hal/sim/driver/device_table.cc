#include "hal/sim/driver/device_table.h"

#include <errno.h>

namespace npu_ipc::sim {

Verdict DeviceTable::CheckAccess(const ProcessFacts& process, uint32_t device) const {
  if (device >= devices_.size() || !process.Sees(device)) {
    return {ENODEV, "the device is not in the process' /dev"};
  }
  const Device& entry = devices_[device];
  if (process.IsHostOrAdmin() || entry.shared || entry.namespaces.empty() ||
      entry.namespaces.count(process.mount_namespace) != 0) {
    return {};
  }
  return {EBUSY, "another container has the device (conflicting mount namespaces)"};
}

Verdict DeviceTable::Open(const ProcessFacts& process, uint32_t device) {
  if (Verdict verdict = CheckAccess(process, device); !verdict.ok()) return verdict;
  Device& entry = devices_[device];
  const auto [opens, is_first] = entry.processes.try_emplace(process.pid);
  if (is_first && !process.IsHostOrAdmin()) {
    opens->second.mount_namespace = process.mount_namespace;
    ++entry.namespaces[process.mount_namespace];
  }
  ++opens->second.count;
  return {};
}

Verdict DeviceTable::Close(pid_t pid, uint32_t device, bool* was_last) {
  *was_last = false;
  if (!IsOpen(pid, device)) return {EINVAL, "the process has not opened the device"};
  if (--devices_[device].processes[pid].count == 0) {
    Forget(devices_[device], pid);
    *was_last = true;
  }
  return {};
}

Verdict DeviceTable::SetShared(const ProcessFacts& process, uint32_t device, bool shared) {
  if (!process.IsHostOrAdmin()) {
    return {EPERM, "device-share is set from the host or an admin container"};
  }
  if (device >= devices_.size()) return {EINVAL, "no such device"};
  Device& entry = devices_[device];
  if (entry.shared == shared) return {};
  if (!entry.namespaces.empty()) return {EBUSY, "a container has the device"};
  entry.shared = shared;
  return {};
}

bool DeviceTable::IsOpen(pid_t pid, uint32_t device) const {
  return device < devices_.size() && devices_[device].processes.count(pid) != 0;
}

std::vector<pid_t> DeviceTable::ProcessesOn(uint32_t device) const {
  std::vector<pid_t> pids;
  for (const auto& [pid, opens] : devices_[device].processes) pids.push_back(pid);
  return pids;
}

void DeviceTable::Release(pid_t pid) {
  for (Device& device : devices_) {
    if (device.processes.count(pid) != 0) Forget(device, pid);
  }
}

void DeviceTable::Forget(Device& device, pid_t pid) {
  const auto opens = device.processes.find(pid);
  if (const uint64_t mount_namespace = opens->second.mount_namespace; mount_namespace != 0) {
    const auto bound = device.namespaces.find(mount_namespace);
    if (--bound->second == 0) device.namespaces.erase(bound);
  }
  device.processes.erase(opens);
}

}  // namespace npu_ipc::sim
