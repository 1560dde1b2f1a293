// The driver as device management sees it: what devices are and how they are.
#include <errno.h>
#include <string.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "hal/sim/driver/copy_text.h"
#include "hal/sim/driver/driver.h"

namespace npu_ipc::sim {
namespace {

// The devices that DCMI asks about.
std::vector<uint32_t> NamedDevices(const Request& request) {
  switch (request.operation) {
    case Operation::kDeviceRecord:
    case Operation::kDeviceProcesses:
    case Operation::kSetDeviceShare:
      return {request.device};
    case Operation::kDeviceLink:
      return {request.device, request.peer};
    default:
      return {};
  }
}

}  // namespace

bool Driver::Hangs(const Request& request) const {
  if (request.through_dcmi == 0) return false;
  if (conditions_.trouble().hangs) return true;
  const std::vector<uint32_t> devices = NamedDevices(request);
  return std::any_of(devices.begin(), devices.end(), [this](uint32_t device) {
    return shape_.Has(device) && conditions_.TroubleOf(device).hangs;
  });
}

int32_t Driver::DcmiFailure(const Request& request) const {
  if (request.through_dcmi == 0) return 0;
  if (conditions_.trouble().code != 0) return conditions_.trouble().code;
  for (const uint32_t device : NamedDevices(request)) {
    if (shape_.Has(device) && conditions_.TroubleOf(device).code != 0) {
      return conditions_.TroubleOf(device).code;
    }
  }
  return 0;
}

Verdict Driver::DescribeDevice(Process& process, uint32_t device, DeviceRecord* record) const {
  if (Verdict access = CheckAccess(process.facts, device); !access.ok()) return access;
  constexpr uint32_t kMemoryUtilization = 6;  // DCMI's type number for on-chip memory
  const DeviceCondition& condition = conditions_.Get(device);
  const DeviceShape& shape = shape_.devices[device];
  const ChipShape& chip = shape_.chip;
  record->physical_id = device;
  record->card_id = shape.card_id;
  record->device_id_in_card = shape.device_id_in_card;
  CopyText(record->chip_type, chip.type);
  CopyText(record->chip_name, chip.name);
  CopyText(record->chip_version, chip.version);
  CopyText(record->npu_name, chip.npu_name);
  record->ai_core_count = chip.ai_cores;
  record->vector_core_count = chip.vector_cores;
  record->memory_total_bytes = memory_.total();
  record->memory_used_bytes = MemoryUsed(device);
  record->memory_frequency_mhz = chip.memory_frequency_mhz;
  record->temperature_celsius = condition.temperature_celsius;
  std::copy(std::begin(condition.utilization_percent), std::end(condition.utilization_percent),
            record->utilization_percent);
  record->utilization_percent[kMemoryUtilization] = static_cast<uint32_t>(
      static_cast<double>(MemoryUsed(device)) * 100 / static_cast<double>(memory_.total()));
  record->health = condition.Health();
  for (const Fault& fault : condition.faults) {
    record->fault_codes[record->fault_count++] = fault.code;
  }
  record->board_id = chip.board_id;
  record->mainboard_id = chip.mainboard_id;
  record->pci_vendor_id = chip.pci_vendor_id;
  record->pci_device_id = chip.pci_device_id;
  record->pci_domain = shape.pci_domain;
  record->pci_bus = shape.pci_bus;
  record->pci_device = shape.pci_device;
  record->pci_function = shape.pci_function;
  memcpy(record->die_id, shape.die_id, sizeof(record->die_id));
  record->numa_node = shape.numa_node;
  CopyText(record->cpu_affinity, shape.cpu_affinity);
  record->super_pod_device_id = shape.super_pod_device_id;
  record->super_pod_size = shape_.super_pod.size;
  record->super_pod_id = shape_.super_pod.id;
  record->server_index = shape_.super_pod.server_index;
  record->device_share = devices_.IsShared(device) ? 1 : 0;
  return {};
}

Verdict Driver::DescribeLink(Process& process, const Request& request, Answer* answer) const {
  for (const uint32_t device : {request.device, request.peer}) {
    if (Verdict access = CheckAccess(process.facts, device); !access.ok()) return access;
  }
  answer->reply.value32 = static_cast<uint32_t>(shape_.links[request.device][request.peer]);
  return {};
}

Verdict Driver::ListProcesses(Process& process, uint32_t device, ProcessList* list) const {
  if (Verdict access = CheckAccess(process.facts, device); !access.ok()) return access;
  for (const pid_t pid : devices_.ProcessesOn(device)) {
    if (list->count == std::size(list->processes)) break;
    const ProcessFacts& other = processes_.at(pid).facts;
    if (!process.facts.IsHostOrAdmin() && other.mount_namespace != process.facts.mount_namespace) {
      continue;
    }
    const uint64_t bytes = memory_.UsedBy(pid, device);
    if (bytes == 0) continue;
    list->processes[list->count].host_pid = pid;
    list->processes[list->count].memory_bytes = bytes;
    ++list->count;
  }
  return {};
}

std::vector<uint32_t> Driver::VisibleDevices(const ProcessFacts& facts) const {
  std::vector<uint32_t> visible;
  std::copy_if(conditions_.order().begin(), conditions_.order().end(), std::back_inserter(visible),
               [&](uint32_t device) { return facts.Sees(device); });
  return visible;
}

Verdict Driver::CheckAccess(const ProcessFacts& facts, uint32_t device) const {
  if (!conditions_.IsPresent(device)) return {ENODEV, "the device is not there"};
  return devices_.CheckAccess(facts, device);
}

Verdict Driver::SetDeviceShare(const ProcessFacts& facts, const Request& request) {
  if (request.value32 > 1) return {EINVAL, "device-share is 0 or 1"};
  return devices_.SetShared(facts, request.device, request.value32 != 0);
}

Verdict Driver::SubscribeFaults(pid_t pid) {
  if (fault_subscribers_.count(pid) != 0) return {EBUSY, "the process subscribes already"};
  if (fault_subscribers_.size() >= kMaxFaultSubscribers) {
    return {EBUSY, "64 processes subscribe to faults"};
  }
  fault_subscribers_.insert(pid);
  return {};
}

std::optional<FaultMessage> Driver::FaultMessageFor(pid_t pid, uint32_t device, const Fault& fault,
                                                    FaultAssertion assertion) {
  const auto process = processes_.find(pid);
  if (process == processes_.end()) return std::nullopt;
  const std::vector<uint32_t> visible = VisibleDevices(process->second.facts);
  const auto found = std::find(visible.begin(), visible.end(), device);
  if (found == visible.end()) return std::nullopt;
  FaultMessage message = {};
  message.code = fault.code;
  message.logical_id = static_cast<uint32_t>(found - visible.begin());
  message.severity = fault.severity;
  message.assertion = static_cast<uint32_t>(assertion);
  message.node_type = fault.node_type;
  message.serial_number = fault.serial_number;
  message.message_serial_number = next_fault_message_++;
  message.raised_at_ms = fault.raised_at_ms;
  CopyText(message.name, fault.name);
  return message;
}

uint64_t Driver::MemoryUsed(uint32_t device) const {
  return std::min(memory_.total(),
                  memory_.used(device) + conditions_.Get(device).extra_memory_bytes);
}

}  // namespace npu_ipc::sim
