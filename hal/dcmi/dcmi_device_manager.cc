#include "hal/dcmi/dcmi_device_manager.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "hal/base/shared_library.h"
#include "hal/dcmi/dcmi_discovery.h"
#include "hal/dcmi/dcmi_status.h"

namespace npu_ipc::hal {
namespace {

constexpr int kMaxFaultCodes = 128;  // DCMI's documentation of error_count
constexpr int kMaxProcesses = 32;    // DCMI's documentation of proc_num
constexpr int kMaxVersionBytes = 256;

Result<HealthLevel> ToHealthLevel(unsigned int value, const std::string& name) {
  switch (value) {
    case 0:
      return HealthLevel::kOk;
    case 1:
      return HealthLevel::kMinor;
    case 2:
      return HealthLevel::kMajor;
    case 3:
      return HealthLevel::kCritical;
    case 0xFFFFFFFF:
      return HealthLevel::kAbsent;
    default:
      return Status(StatusCode::kInternal, "dcmi_get_device_health of " + name + ": " +
                                               std::to_string(value) + " is no health level");
  }
}

LinkType ToLinkType(int topology, ChipFamily family) {
  switch (topology) {
    case DCMI_TOPO_TYPE_SELF:
      return LinkType::kSelf;
    case DCMI_TOPO_TYPE_SYS:
      return LinkType::kSystem;
    case DCMI_TOPO_TYPE_PHB:
      return LinkType::kPciHost;
    case DCMI_TOPO_TYPE_HCCS:
      return LinkType::kHccs;
    case DCMI_TOPO_TYPE_PXB:
      return LinkType::kPciMulti;
    case DCMI_TOPO_TYPE_PIX:
      return LinkType::kPciSwitch;
    case DCMI_TOPO_TYPE_SIO:
      // 910B's documentation ends before SIO and gives its number to "unknown".
      return family == ChipFamily::kAscend910B ? LinkType::kUnknown : LinkType::kSio;
    case DCMI_TOPO_TYPE_HCCS_SW:
      return LinkType::kHccsSwitch;
    case DCMI_TOPO_TYPE_UB:
      return LinkType::kUb;
    default:
      return LinkType::kUnknown;
  }
}

FaultSeverity ToFaultSeverity(unsigned char severity) {
  switch (severity) {
    case 0:
      return FaultSeverity::kNotice;
    case 1:
      return FaultSeverity::kMinor;
    case 2:
      return FaultSeverity::kMajor;
    default:  // 3; a fault of no known severity is not taken lightly
      return FaultSeverity::kCritical;
  }
}

FaultChange ToFaultChange(unsigned char assertion) {
  switch (assertion) {
    case 0:
      return FaultChange::kCleared;
    case 1:
      return FaultChange::kRaised;
    default:  // 2
      return FaultChange::kOccurred;
  }
}

}  // namespace

DcmiDeviceManager::DcmiDeviceManager(DcmiTable dcmi, std::string sysfs)
    : dcmi_(dcmi), sysfs_(std::move(sysfs)) {}

Result<DeviceInventory> DcmiDeviceManager::Devices() {
  Result<DeviceInventory> inventory = DiscoverDevices(dcmi_, sysfs_);
  if (!inventory.ok()) return inventory;
  std::map<uint32_t, Location> locations;
  for (const Device& device : inventory->devices) {
    Location& location = locations[device.physical_id];
    location.card = static_cast<int>(device.card_id);
    location.device = static_cast<int>(device.device_id_in_card);
    location.logical_id = device.logical_id;
    location.family = device.family;
    location.name = "device " + std::to_string(device.physical_id) + " (" +
                    DeviceName(location.card, location.device) + ")";
  }
  std::lock_guard<std::mutex> lock(mutex_);
  locations_ = std::move(locations);
  return inventory;
}

Result<DcmiDeviceManager::Location> DcmiDeviceManager::Locate(uint32_t physical_id) {
  for (const bool asked : {false, true}) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto found = locations_.find(physical_id);
      if (found != locations_.end()) return found->second;
      if (asked || !locations_.empty()) break;
    }
    if (Result<DeviceInventory> inventory = Devices(); !inventory.ok()) return inventory.status();
  }
  return Status(StatusCode::kNotFound,
                "no device " + std::to_string(physical_id) + " on this node");
}

Result<DeviceHealth> DcmiDeviceManager::Health(uint32_t physical_id) {
  Result<Location> at = Locate(physical_id);
  if (!at.ok()) return at.status();
  unsigned int value = 0;
  Status asked = DcmiStatus(dcmi_.get_device_health(at->card, at->device, &value),
                            "dcmi_get_device_health", at->name);
  if (!asked.ok()) return asked;
  Result<HealthLevel> level = ToHealthLevel(value, at->name);
  if (!level.ok()) return level.status();

  DeviceHealth health;
  health.level = *level;
  int count = 0;
  unsigned int codes[kMaxFaultCodes] = {};
  if (dcmi_.get_device_errorcode_v2 != nullptr &&
      dcmi_.get_device_errorcode_v2(at->card, at->device, &count, codes, kMaxFaultCodes) ==
          DCMI_OK) {
    health.fault_codes.assign(codes, codes + std::clamp(count, 0, kMaxFaultCodes));
  }
  return health;
}

Result<DeviceUsage> DcmiDeviceManager::Usage(uint32_t physical_id) {
  Result<Location> at = Locate(physical_id);
  if (!at.ok()) return at.status();
  DeviceUsage usage;
  Status failure = DcmiMissing("every function that Usage reads");
  dcmi_hbm_info memory = {};
  if (dcmi_.get_device_hbm_info != nullptr) {
    failure = DcmiStatus(dcmi_.get_device_hbm_info(at->card, at->device, &memory),
                         "dcmi_get_device_hbm_info", at->name);
  }
  if (failure.ok()) {
    if (memory.memory_usage <= memory.memory_size) {
      usage.memory_used_bytes = memory.memory_usage << 20;
    }
    if (memory.bandwith_util_rate <= 100) {
      usage.memory_bandwidth_percent = memory.bandwith_util_rate;
    }
    usage.memory_temperature_celsius = memory.temp;
    usage.temperature_celsius = memory.temp;
  }
  int temperature = 0;
  if (dcmi_.get_device_temperature != nullptr &&
      dcmi_.get_device_temperature(at->card, at->device, &temperature) == DCMI_OK) {
    usage.temperature_celsius = temperature;
  }
  usage.ai_core_percent = Utilization(*at, DCMI_UTILIZATION_RATE_AICORE);
  usage.ai_cpu_percent = Utilization(*at, DCMI_UTILIZATION_RATE_AICPU);
  usage.vector_core_percent = Utilization(*at, DCMI_UTILIZATION_RATE_VECTORCORE);
  const bool any = usage.temperature_celsius || usage.memory_used_bytes || usage.ai_core_percent ||
                   usage.ai_cpu_percent || usage.vector_core_percent;
  if (any) return usage;
  return failure;
}

std::optional<uint32_t> DcmiDeviceManager::Utilization(const Location& at, int type) const {
  unsigned int percent = 0;
  if (dcmi_.get_device_utilization_rate == nullptr ||
      dcmi_.get_device_utilization_rate(at.card, at.device, type, &percent) != DCMI_OK ||
      percent > 100) {
    return std::nullopt;
  }
  return percent;
}

Result<std::vector<DeviceProcess>> DcmiDeviceManager::Processes(uint32_t physical_id) {
  if (dcmi_.get_device_resource_info == nullptr)
    return DcmiMissing("dcmi_get_device_resource_info");
  Result<Location> at = Locate(physical_id);
  if (!at.ok()) return at.status();
  dcmi_proc_mem_info listed[kMaxProcesses] = {};
  int count = 0;
  Status asked = DcmiStatus(dcmi_.get_device_resource_info(at->card, at->device, listed, &count),
                            "dcmi_get_device_resource_info", at->name);
  if (!asked.ok()) return asked;
  std::vector<DeviceProcess> processes;
  for (int i = 0; i < std::clamp(count, 0, kMaxProcesses); ++i) {
    if (listed[i].proc_id > 0) processes.push_back({listed[i].proc_id, listed[i].proc_mem_usage});
  }
  return processes;
}

Result<LinkType> DcmiDeviceManager::Link(uint32_t physical_id_a, uint32_t physical_id_b) {
  Result<Location> a = Locate(physical_id_a);
  if (!a.ok()) return a.status();
  Result<Location> b = Locate(physical_id_b);
  if (!b.ok()) return b.status();
  if (physical_id_a == physical_id_b) return LinkType::kSelf;
  if (dcmi_.get_topo_info_by_device_id == nullptr) {
    return DcmiMissing("dcmi_get_topo_info_by_device_id");
  }
  int topology = DCMI_TOPO_TYPE_BUTT;
  Status asked = DcmiStatus(
      dcmi_.get_topo_info_by_device_id(a->card, a->device, b->card, b->device, &topology),
      "dcmi_get_topo_info_by_device_id", a->name + " and " + b->name);
  if (!asked.ok()) return asked;
  return ToLinkType(topology, a->family);
}

Result<bool> DcmiDeviceManager::DeviceShare(uint32_t physical_id) {
  if (dcmi_.get_device_share_enable == nullptr) return DcmiMissing("dcmi_get_device_share_enable");
  Result<Location> at = Locate(physical_id);
  if (!at.ok()) return at.status();
  int enabled = 0;
  Status asked = DcmiStatus(dcmi_.get_device_share_enable(at->card, at->device, &enabled),
                            "dcmi_get_device_share_enable", at->name);
  if (!asked.ok()) return asked;
  return enabled != 0;
}

Status DcmiDeviceManager::SetDeviceShare(uint32_t physical_id, bool enabled) {
  if (dcmi_.set_device_share_enable == nullptr) return DcmiMissing("dcmi_set_device_share_enable");
  Result<Location> at = Locate(physical_id);
  if (!at.ok()) return at.status();
  return DcmiStatus(dcmi_.set_device_share_enable(at->card, at->device, enabled ? 1 : 0),
                    "dcmi_set_device_share_enable", at->name);
}

Status DcmiDeviceManager::SubscribeFaults(FaultHandler handler) {
  if (dcmi_.subscribe_fault_event == nullptr) return DcmiMissing("dcmi_subscribe_fault_event");
  std::lock_guard<std::mutex> lock(subscribing_);
  if (faults_ != nullptr) {
    return {StatusCode::kFailedPrecondition, "this DeviceManager has a fault handler already"};
  }
  auto subscription =
      FaultSubscription::Open(dcmi_.subscribe_fault_event,
                              [this, handle = std::move(handler)](
                                  const dcmi_dms_fault_event& event) { handle(ToFault(event)); });
  if (!subscription.ok()) return subscription.status();
  faults_ = std::move(*subscription);
  return Status::Ok();
}

DeviceFault DcmiDeviceManager::ToFault(const dcmi_dms_fault_event& event) {
  DeviceFault fault;
  fault.code = event.event_id;
  fault.severity = ToFaultSeverity(event.severity);
  fault.change = ToFaultChange(event.assertion);
  fault.description.assign(event.event_name, strnlen(event.event_name, sizeof(event.event_name)));
  // From the vendor's own thread the library is better not called: the last inventory must do.
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [physical_id, location] : locations_) {
    if (location.logical_id == event.deviceid) fault.physical_id = physical_id;
  }
  return fault;
}

Result<std::string> DcmiDeviceManager::DriverVersion() {
  if (dcmi_.get_driver_version == nullptr) return DcmiMissing("dcmi_get_driver_version");
  char text[kMaxVersionBytes] = {};
  Status asked =
      DcmiStatus(dcmi_.get_driver_version(text, sizeof(text)), "dcmi_get_driver_version", "");
  if (!asked.ok()) return asked;
  return std::string(text, strnlen(text, sizeof(text)));
}

Result<std::unique_ptr<DeviceManager>> OpenDcmi(const std::string& library,
                                                const std::string& sysfs) {
  Result<SharedLibrary> loaded = SharedLibrary::Open(library);
  if (!loaded.ok()) return loaded.status();
  Result<DcmiTable> dcmi = BindDcmi(*loaded);
  if (!dcmi.ok()) return dcmi.status();
  if (Status initialised = DcmiStatus(dcmi->init(), "dcmi_init", ""); !initialised.ok()) {
    return initialised.WithContext(library);
  }
  return std::unique_ptr<DeviceManager>(std::make_unique<DcmiDeviceManager>(*dcmi, sysfs));
}

}  // namespace npu_ipc::hal
