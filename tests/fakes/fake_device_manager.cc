#include "tests/fakes/fake_device_manager.h"

#include <algorithm>
#include <chrono>

namespace npu_ipc::hal {
namespace {

Device MakeDevice(uint32_t physical_id, ChipFamily family) {
  Device device;
  device.physical_id = physical_id;
  device.logical_id = physical_id;
  device.family = family;
  device.memory_bytes = 64ull << 30;
  device.serial = "FAKE-" + std::to_string(physical_id);
  device.device_node = "/dev/davinci" + std::to_string(physical_id);
  return device;
}

std::string PciAddress(uint32_t bus) {
  static const char kDigits[] = "0123456789abcdef";
  return std::string("0000:") + kDigits[bus >> 4 & 15] + kDigits[bus & 15] + ":00.0";
}

}  // namespace

FakeDeviceManager::FakeDeviceManager(std::vector<Device> devices) {
  SetDevices(std::move(devices));
}

std::vector<Device> FakeDeviceManager::Ascend910B(uint32_t count) {
  std::vector<Device> devices;
  for (uint32_t i = 0; i < count; ++i) {
    Device device = MakeDevice(i, ChipFamily::kAscend910B);
    device.card_id = i;
    device.chip_name = "910B3";
    device.pci_address = PciAddress(0x81 + i);
    device.numa_node = i < (count + 1) / 2 ? 0 : 1;
    devices.push_back(std::move(device));
  }
  return devices;
}

std::vector<Device> FakeDeviceManager::Ascend910C(uint32_t modules) {
  std::vector<Device> devices;
  for (uint32_t i = 0; i < modules * 2; ++i) {
    Device device = MakeDevice(i, ChipFamily::kAscend910C);
    device.card_id = i / 2;
    device.device_id_in_card = i % 2;
    device.chip_name = "Ascend910_9391";
    device.pci_address = PciAddress(0x81 + 2 * i);
    device.numa_node = i < modules ? 0 : 1;
    devices.push_back(std::move(device));
  }
  return devices;
}

void FakeDeviceManager::SetDevices(std::vector<Device> devices) {
  std::sort(devices.begin(), devices.end(),
            [](const Device& a, const Device& b) { return a.physical_id < b.physical_id; });
  std::lock_guard<std::mutex> lock(mutex_);
  devices_ = std::move(devices);
}

void FakeDeviceManager::SetSkipped(std::vector<SkippedDevice> skipped) {
  std::lock_guard<std::mutex> lock(mutex_);
  skipped_ = std::move(skipped);
}

void FakeDeviceManager::RemoveDevice(uint32_t physical_id) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(devices_, [&](const Device& device) { return device.physical_id == physical_id; });
}

void FakeDeviceManager::SetHealth(uint32_t physical_id, HealthLevel level,
                                  std::vector<uint32_t> fault_codes) {
  std::lock_guard<std::mutex> lock(mutex_);
  states_[physical_id].health = DeviceHealth{level, std::move(fault_codes)};
}

void FakeDeviceManager::SetUsage(uint32_t physical_id, DeviceUsage usage) {
  std::lock_guard<std::mutex> lock(mutex_);
  states_[physical_id].usage = usage;
}

void FakeDeviceManager::SetProcesses(uint32_t physical_id, std::vector<DeviceProcess> processes) {
  std::lock_guard<std::mutex> lock(mutex_);
  states_[physical_id].processes = std::move(processes);
}

void FakeDeviceManager::SetLink(uint32_t physical_id_a, uint32_t physical_id_b, LinkType link) {
  std::lock_guard<std::mutex> lock(mutex_);
  links_[std::minmax(physical_id_a, physical_id_b)] = link;
}

void FakeDeviceManager::SetInUse(uint32_t physical_id, bool in_use) {
  std::lock_guard<std::mutex> lock(mutex_);
  states_[physical_id].in_use = in_use;
}

bool FakeDeviceManager::ReportFault(const DeviceFault& fault) {
  std::shared_ptr<const FaultHandler> handler;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    handler = fault_handler_;
  }
  if (handler == nullptr) return false;
  (*handler)(fault);
  return true;
}

void FakeDeviceManager::SetSubscriptionStatus(Status status) {
  std::lock_guard<std::mutex> lock(mutex_);
  subscription_status_ = std::move(status);
}

bool FakeDeviceManager::WaitForSubscription() {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30),
                           [&] { return fault_handler_ != nullptr; });
}

void FakeDeviceManager::FailWith(Status status) {
  std::lock_guard<std::mutex> lock(mutex_);
  failure_ = std::move(status);
}

void FakeDeviceManager::Hang(bool hang) {
  std::lock_guard<std::mutex> lock(mutex_);
  hang_ = hang;
  changed_.notify_all();
}

bool FakeDeviceManager::WaitForHungCalls(int count) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return hung_calls_ >= count; });
}

int FakeDeviceManager::calls() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return calls_;
}

Status FakeDeviceManager::Enter(std::unique_lock<std::mutex>& lock) {
  ++calls_;
  if (hang_) {
    ++hung_calls_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !hang_; });
    --hung_calls_;
  }
  return failure_;
}

Result<const Device*> FakeDeviceManager::FindDevice(uint32_t physical_id) const {
  for (const Device& device : devices_) {
    if (device.physical_id == physical_id) return &device;
  }
  return Status(StatusCode::kNotFound, "no device " + std::to_string(physical_id));
}

Result<DeviceInventory> FakeDeviceManager::Devices() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  return DeviceInventory{devices_, skipped_};
}

Result<DeviceHealth> FakeDeviceManager::Health(uint32_t physical_id) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  if (auto device = FindDevice(physical_id); !device.ok()) return device.status();
  return states_[physical_id].health;
}

Result<DeviceUsage> FakeDeviceManager::Usage(uint32_t physical_id) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  if (auto device = FindDevice(physical_id); !device.ok()) return device.status();
  return states_[physical_id].usage;
}

Result<std::vector<DeviceProcess>> FakeDeviceManager::Processes(uint32_t physical_id) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  if (auto device = FindDevice(physical_id); !device.ok()) return device.status();
  return states_[physical_id].processes;
}

Result<LinkType> FakeDeviceManager::Link(uint32_t physical_id_a, uint32_t physical_id_b) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  Result<const Device*> a = FindDevice(physical_id_a);
  if (!a.ok()) return a.status();
  Result<const Device*> b = FindDevice(physical_id_b);
  if (!b.ok()) return b.status();
  if (physical_id_a == physical_id_b) return LinkType::kSelf;
  auto set = links_.find(std::minmax(physical_id_a, physical_id_b));
  if (set != links_.end()) return set->second;
  if ((*a)->family == ChipFamily::kAscend910B) return LinkType::kHccs;
  return (*a)->card_id == (*b)->card_id ? LinkType::kSio : LinkType::kHccsSwitch;
}

Result<bool> FakeDeviceManager::DeviceShare(uint32_t physical_id) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  if (auto device = FindDevice(physical_id); !device.ok()) return device.status();
  return states_[physical_id].share;
}

Status FakeDeviceManager::SetDeviceShare(uint32_t physical_id, bool enabled) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  if (auto device = FindDevice(physical_id); !device.ok()) return device.status();
  State& state = states_[physical_id];
  if (state.in_use) {
    return {StatusCode::kFailedPrecondition,
            "device " + std::to_string(physical_id) + " is in use"};
  }
  state.share = enabled;
  return Status::Ok();
}

Status FakeDeviceManager::SubscribeFaults(FaultHandler handler) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  if (!subscription_status_.ok()) return subscription_status_;
  if (fault_handler_ != nullptr) {
    return {StatusCode::kFailedPrecondition, "this DeviceManager has a fault handler already"};
  }
  fault_handler_ = std::make_shared<const FaultHandler>(std::move(handler));
  changed_.notify_all();
  return Status::Ok();
}

Result<std::string> FakeDeviceManager::DriverVersion() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (Status entered = Enter(lock); !entered.ok()) return entered;
  return std::string("25.5.0");
}

}  // namespace npu_ipc::hal
