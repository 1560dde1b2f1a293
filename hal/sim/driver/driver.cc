#include "hal/sim/driver/driver.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace npu_ipc::sim {
namespace {

Shares::Options ShareOptions(const NodeShape& shape, std::function<uint64_t()> boot_time_ns) {
  Shares::Options options;
  options.keys_name_super_pod_device = shape.super_pod.size != 0;
  options.boot_time_ns = std::move(boot_time_ns);
  options.clock_ticks_per_second = ::sysconf(_SC_CLK_TCK);
  return options;
}

uint32_t DeviceCount(const NodeShape& shape) { return static_cast<uint32_t>(shape.devices.size()); }

template <size_t size>
void CopyText(char (&to)[size], const std::string& from) {
  const size_t bytes = std::min(from.size(), size - 1);
  memcpy(to, from.data(), bytes);
  to[bytes] = '\0';
}

}  // namespace

Driver::Driver(NodeShape shape, std::function<uint64_t()> boot_time_ns, ShareObserver* observer)
    : shape_(std::move(shape)),
      devices_(DeviceCount(shape_)),
      memory_(DeviceCount(shape_), shape_.chip.memory_bytes),
      peers_(DeviceCount(shape_),
             [this](uint32_t a, uint32_t b) { return CarriesPeerAccess(shape_.links[a][b]); }),
      shares_(ShareOptions(shape_, std::move(boot_time_ns)), peers_, observer) {}

void Driver::SetFacts(const ProcessFacts& facts) { processes_[facts.pid].facts = facts; }

void Driver::EndProcess(pid_t pid) {
  // Shares first: closing and destroying them writes to validity pages and needs the peer table.
  shares_.Release(pid);
  for (const uint64_t handle : memory_.HandlesOf(pid)) FreeMemory(handle);
  peers_.Release(pid);
  devices_.Release(pid);
  processes_.erase(pid);
}

Driver::Answer Driver::Handle(pid_t pid, const Request& request) {
  Answer answer;
  const auto process = processes_.find(pid);
  const Verdict verdict = process == processes_.end() ? Verdict{ESRCH, "an unknown process"}
                                                      : Dispatch(process->second, request, &answer);
  if (!verdict.ok()) {
    answer = {};
    answer.reply.error = verdict.error;
    answer.reason = verdict.reason;
  }
  return answer;
}

Verdict Driver::Dispatch(Process& process, const Request& request, Answer* answer) {
  const ProcessFacts& facts = process.facts;
  switch (request.operation) {
    case Operation::kHello:
      return Hello(process, answer);
    case Operation::kBareTgid:
      answer->reply.value32 = static_cast<uint32_t>(facts.pid);
      return {};
    case Operation::kOpenDevice:
      return devices_.Open(facts, request.device);
    case Operation::kCloseDevice:
      return CloseDevice(process, request);
    case Operation::kAllocate:
      return Allocate(process, request, answer);
    case Operation::kFree:
      return Free(process, request);
    case Operation::kMemoryInfo:
      if (Verdict access = devices_.CheckAccess(facts, request.device); !access.ok()) return access;
      answer->reply.values[0] = memory_.total();
      answer->reply.values[1] = memory_.total() - memory_.used(request.device);
      return {};
    case Operation::kEnablePeer:
      return EnablePeer(process, request);
    case Operation::kDisablePeer:
      return peers_.Disable(facts.pid, request.device, request.peer);
    case Operation::kPeerStatus:
      answer->reply.value32 = peers_.IsConfigured(request.device, request.peer) ? 1 : 0;
      return {};
    case Operation::kDeviceRecord:
      return DescribeDevice(process, request.device, &answer->reply.record);
    case Operation::kDeviceLink:
      return DescribeLink(process, request, answer);
    case Operation::kDeviceProcesses:
      return ListProcesses(process, request.device, &answer->reply.processes);
    case Operation::kSetDeviceShare:
      if (request.value32 > 1) return {EINVAL, "device-share is 0 or 1"};
      return devices_.SetShared(facts, request.device, request.value32 != 0);
    case Operation::kShareCreate:
    case Operation::kShareSetPids:
    case Operation::kShareNoWhitelist:
    case Operation::kShareOpen:
    case Operation::kShareClose:
    case Operation::kShareDestroy:
    case Operation::kShareInfo:
      return DispatchShare(process, request, answer);
  }
  return {EINVAL, "an unknown operation"};
}

Verdict Driver::DispatchShare(Process& process, const Request& request, Answer* answer) {
  const pid_t pid = process.facts.pid;
  if (request.operation == Operation::kShareCreate) return CreateShare(process, request, answer);
  const size_t length = strnlen(request.key, sizeof(request.key));
  if (length == 0 || length >= kKeyBytes) return {EINVAL, "a key has 1 to 64 characters"};
  const std::string key(request.key, length);
  switch (request.operation) {
    case Operation::kShareSetPids:
      return shares_.SetPids(pid, key, request.pids, request.count);
    case Operation::kShareNoWhitelist:
      return shares_.DisableWhitelist(pid, key);
    case Operation::kShareOpen:
      return OpenShare(process, request, answer);
    case Operation::kShareClose:
      return shares_.Close(pid, key);
    case Operation::kShareDestroy:
      return shares_.Destroy(pid, key);
    default:
      return DescribeShare(key, answer);
  }
}

Verdict Driver::Hello(Process& process, Answer* answer) {
  if (!EnsurePage(process)) return {ENOMEM, "the host gave no memfd for the validity page"};
  HelloReply& hello = answer->reply.hello;
  for (const uint32_t device : process.facts.devices) {
    if (!shape_.Has(device)) continue;
    hello.devices[hello.device_count++] = device;
  }
  hello.is_host_or_admin = process.facts.IsHostOrAdmin() ? 1 : 0;
  hello.chip_family = static_cast<uint32_t>(shape_.chip_family);
  CopyText(hello.soc_name, shape_.soc_name);
  CopyText(hello.driver_version, shape_.driver_version);
  hello.validity_slots = kValiditySlots;
  answer->descriptor = process.page->fd();
  return {};
}

Verdict Driver::CloseDevice(Process& process, const Request& request) {
  const pid_t pid = process.facts.pid;
  bool was_last = false;
  if (Verdict closed = devices_.Close(pid, request.device, &was_last); !closed.ok()) return closed;
  if (!was_last) return {};
  shares_.ReleaseOnDevice(pid, request.device);
  for (const uint64_t handle : memory_.HandlesOf(pid)) {
    if (memory_.Get(handle).device == request.device) FreeMemory(handle);
  }
  return {};
}

Verdict Driver::Allocate(Process& process, const Request& request, Answer* answer) {
  const pid_t pid = process.facts.pid;
  if (!devices_.IsOpen(pid, request.device))
    return {ENODEV, "the process has not opened the device"};
  const Allocation* allocation = nullptr;
  const Verdict verdict =
      memory_.Allocate(pid, request.device, request.length, request.page_bytes, &allocation);
  if (!verdict.ok()) return verdict;
  answer->reply.values[0] = allocation->handle;
  answer->reply.values[1] = allocation->length;
  answer->descriptor = allocation->memory.get();
  return {};
}

Verdict Driver::Free(Process& process, const Request& request) {
  if (memory_.Find(process.facts.pid, request.handle) == nullptr) {
    return {EINVAL, "not an allocation of the process"};
  }
  FreeMemory(request.handle);
  return {};
}

void Driver::FreeMemory(uint64_t handle) {
  shares_.PullPages(handle);
  memory_.Free(handle);
}

Verdict Driver::EnablePeer(Process& process, const Request& request) {
  // The peer may be a device that this process cannot see; its own may not.
  if (Verdict access = devices_.CheckAccess(process.facts, request.device); !access.ok()) {
    return access;
  }
  return peers_.Enable(process.facts.pid, request.device, request.peer);
}

Verdict Driver::CreateShare(Process& process, const Request& request, Answer* answer) {
  // Imported memory has no handle of the importer's: exporting it again ends here.
  const Allocation* const allocation = memory_.Find(process.facts.pid, request.handle);
  if (allocation == nullptr) return {EINVAL, "not an allocation of the process"};
  SharedMemory memory;
  memory.handle = request.handle;
  memory.device = allocation->device;
  memory.offset = request.offset;
  memory.length = request.length;
  memory.page_bytes = allocation->page_bytes;
  memory.address = request.address;
  std::string key;
  const Verdict made = shares_.Create(process.facts.pid, memory, allocation->length,
                                      shape_.devices[allocation->device].super_pod_device_id, &key);
  if (made.ok()) CopyText(answer->reply.key, key);
  return made;
}

Verdict Driver::OpenShare(Process& process, const Request& request, Answer* answer) {
  if (!devices_.IsOpen(process.facts.pid, request.device)) {
    return {ENODEV, "the process has not opened the device"};
  }
  if (!EnsurePage(process)) return {ENOMEM, "the host gave no memfd for the validity page"};
  const ShareOpening* opening = nullptr;
  const Verdict verdict = shares_.Open(process.facts, *process.page, request.key, request.device,
                                       request.address, &opening);
  if (!verdict.ok()) return verdict;
  const SharedMemory& memory = opening->share->memory;
  ShareReply& share = answer->reply.share;
  share.length = memory.length;
  share.offset = memory.offset;
  share.page_bytes = memory.page_bytes;
  share.device = memory.device;
  share.validity_slot = opening->slot;
  answer->descriptor = memory_.Get(memory.handle).memory.get();
  return {};
}

Verdict Driver::DescribeShare(const std::string& key, Answer* answer) const {
  const Share* const share = shares_.Find(key);
  if (share == nullptr) return {EINVAL, "unknown key"};
  answer->reply.share.length = share->memory.length;
  answer->reply.share.offset = share->memory.offset;
  answer->reply.share.page_bytes = share->memory.page_bytes;
  answer->reply.share.device = share->memory.device;
  return {};
}

Verdict Driver::DescribeDevice(Process& process, uint32_t device, DeviceRecord* record) const {
  if (Verdict access = devices_.CheckAccess(process.facts, device); !access.ok()) return access;
  constexpr uint32_t kMemoryUtilization = 6;  // DCMI's type number for on-chip memory
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
  record->memory_used_bytes = memory_.used(device);
  record->memory_frequency_mhz = chip.memory_frequency_mhz;
  record->temperature_celsius = chip.temperature_celsius;
  record->utilization_percent[kMemoryUtilization] = static_cast<uint32_t>(
      static_cast<double>(memory_.used(device)) * 100 / static_cast<double>(memory_.total()));
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
    if (Verdict access = devices_.CheckAccess(process.facts, device); !access.ok()) return access;
  }
  answer->reply.value32 = static_cast<uint32_t>(shape_.links[request.device][request.peer]);
  return {};
}

Verdict Driver::ListProcesses(Process& process, uint32_t device, ProcessList* list) const {
  if (Verdict access = devices_.CheckAccess(process.facts, device); !access.ok()) return access;
  for (const pid_t pid : devices_.ProcessesOn(device)) {
    if (list->count == std::size(list->processes)) break;
    const ProcessFacts& other = processes_.at(pid).facts;
    if (!process.facts.IsHostOrAdmin() && other.mount_namespace != process.facts.mount_namespace) {
      continue;
    }
    list->processes[list->count].host_pid = pid;
    list->processes[list->count].memory_bytes = memory_.UsedBy(pid, device);
    ++list->count;
  }
  return {};
}

bool Driver::EnsurePage(Process& process) const {
  if (process.page == nullptr) process.page = ValidityPage::Create();
  return process.page != nullptr;
}

}  // namespace npu_ipc::sim
