#include "hal/sim/driver/driver.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "hal/sim/driver/copy_text.h"

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

uint64_t UnixTimeMilliseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

Driver::Driver(NodeShape shape, std::function<uint64_t()> boot_time_ns, ShareObserver* observer)
    : shape_(std::move(shape)),
      devices_(DeviceCount(shape_)),
      memory_(DeviceCount(shape_), shape_.chip.memory_bytes),
      peers_(DeviceCount(shape_),
             [this](uint32_t a, uint32_t b) { return CarriesPeerAccess(shape_.links[a][b]); }),
      shares_(ShareOptions(shape_, std::move(boot_time_ns)), peers_, observer),
      conditions_(shape_, UnixTimeMilliseconds) {}

void Driver::SetFacts(const ProcessFacts& facts) { processes_[facts.pid].facts = facts; }

void Driver::EndProcess(pid_t pid) {
  // Shares first: closing and destroying them writes to validity pages and needs the peer table.
  shares_.Release(pid);
  for (const uint64_t handle : memory_.HandlesOf(pid)) FreeMemory(handle);
  peers_.Release(pid);
  devices_.Release(pid);
  fault_subscribers_.erase(pid);
  processes_.erase(pid);
}

Driver::Answer Driver::Handle(pid_t pid, const Request& request) {
  Answer answer;
  if (const int32_t code = DcmiFailure(request); code != 0) {
    answer.reply.dcmi_code = code;
    return answer;
  }
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
      if (!conditions_.IsPresent(request.device)) return {ENODEV, "the device is not there"};
      return devices_.Open(facts, request.device);
    case Operation::kCloseDevice:
      return CloseDevice(process, request);
    case Operation::kAllocate:
      return Allocate(process, request, answer);
    case Operation::kFree:
      return Free(process, request);
    case Operation::kMemoryInfo:
      if (Verdict access = CheckAccess(facts, request.device); !access.ok()) return access;
      answer->reply.values[0] = memory_.total();
      answer->reply.values[1] = memory_.total() - MemoryUsed(request.device);
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
      return SetDeviceShare(facts, request);
    case Operation::kSubscribeFaults:
      return SubscribeFaults(facts.pid);
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
  for (const uint32_t device : VisibleDevices(process.facts)) {
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
  if (Verdict access = CheckAccess(process.facts, request.device); !access.ok()) return access;
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

bool Driver::EnsurePage(Process& process) const {
  if (process.page == nullptr) process.page = ValidityPage::Create();
  return process.page != nullptr;
}

}  // namespace npu_ipc::sim
