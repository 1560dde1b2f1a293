// Errors, process, devices and peers of interface.h.
#include <string.h>

#include <algorithm>

#include "hal/sim/libruntime/driver.h"
#include "hal/sim/libruntime/interface.h"
#include "hal/sim/libruntime/peer_access.h"
#include "hal/sim/libruntime/process_state.h"

namespace npu_ipc::sim::rt {
namespace {

constexpr int64_t kNpuArchitecture = 2201;  // DAV_2201: the core of 910B and 910C (acl_platform.h)
constexpr uint32_t kSuperPodChip = 1;       // HelloReply::chip_family of the 910C

// dcmi_interface_api.h: types of dcmi_get_device_utilization_rate
constexpr size_t kAiCoreUtilization = 2;
constexpr size_t kAiCpuUtilization = 3;
constexpr size_t kVectorUtilization = 12;

RtStatus Store(RtResult<uint32_t> id, int32_t* to) {
  if (!id.ok()) return id.status();
  *to = static_cast<int32_t>(*id);
  return {};
}

RtStatus CopyText(const std::string& from, char* to, size_t capacity) {
  const size_t bytes = std::min(from.size(), capacity - 1);
  ::memcpy(to, from.data(), bytes);
  to[bytes] = '\0';
  return {};
}

// Needs a context; both physical.
struct Pair {
  uint32_t device;
  uint32_t peer;
};

RtResult<Pair> CurrentAndPeer(int32_t peer) {
  ProcessState& state = ProcessState::Get();
  RtResult<std::shared_ptr<Context>> context = state.contexts.Current();
  if (!context.ok()) return context.status();
  const uint32_t device = (*context)->physical_device();
  RtResult<uint32_t> physical_peer = state.devices.PhysicalOfUser(peer);
  if (!physical_peer.ok()) return physical_peer.status();
  if (*physical_peer == device) {
    return RtStatus(ACL_ERROR_INVALID_PARAM,
                    "device " + std::to_string(peer) + " is the current one: no peer of itself");
  }
  return Pair{device, *physical_peer};
}

RtResult<Pair> BothPhysical(int32_t device, int32_t peer) {
  Devices& devices = ProcessState::Get().devices;
  RtResult<uint32_t> physical = devices.PhysicalOfUser(device);
  if (!physical.ok()) return physical.status();
  RtResult<uint32_t> physical_peer = devices.PhysicalOfUser(peer);
  if (!physical_peer.ok()) return physical_peer.status();
  return Pair{*physical, *physical_peer};
}

RtResult<int64_t> Attribute(const DeviceRecord& record, bool in_super_pod, aclrtDevAttr attribute) {
  const RtStatus unknown(ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                         "the simulator does not know device attribute " +
                             std::to_string(static_cast<int>(attribute)) + " of this device");
  switch (attribute) {
    case ACL_DEV_ATTR_AICORE_CORE_NUM:
    case ACL_DEV_ATTR_CUBE_CORE_NUM:
      return static_cast<int64_t>(record.ai_core_count);
    case ACL_DEV_ATTR_VECTOR_CORE_NUM:
      return static_cast<int64_t>(record.vector_core_count);
    case ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE:
      return static_cast<int64_t>(record.memory_total_bytes);
    case ACL_DEV_ATTR_PHY_CHIP_ID:
      return static_cast<int64_t>(record.card_id);
    case ACL_DEV_ATTR_MAINBOARD_ID:
      return static_cast<int64_t>(record.mainboard_id);
    case ACL_DEV_ATTR_IS_VIRTUAL:
      return int64_t{0};
    case ACL_DEV_ATTR_NPU_ARCH:
      return kNpuArchitecture;
    case ACL_DEV_ATTR_SUPER_POD_DEVICE_ID:
      if (in_super_pod) return static_cast<int64_t>(record.super_pod_device_id);
      return unknown;
    case ACL_DEV_ATTR_SUPER_POD_SERVER_ID:
      if (in_super_pod) return static_cast<int64_t>(record.server_index);
      return unknown;
    case ACL_DEV_ATTR_SUPER_POD_ID:
      if (in_super_pod) return static_cast<int64_t>(record.super_pod_id);
      return unknown;
    default:
      return unknown;
  }
}

// The link in ACL's bits; 0 for one that has none.
uint64_t TopologyBit(uint32_t link) {
  constexpr uint64_t kByDcmiNumber[] = {0,  // SELF
                                        ACL_RT_DEVS_TOPOLOGY_SYS,
                                        ACL_RT_DEVS_TOPOLOGY_PHB,
                                        ACL_RT_DEVS_TOPOLOGY_HCCS,
                                        ACL_RT_DEVS_TOPOLOGY_PIB,
                                        ACL_RT_DEVS_TOPOLOGY_PIX,
                                        ACL_RT_DEVS_TOPOLOGY_SIO,
                                        ACL_RT_DEVS_TOPOLOGY_HCCS_SW};
  return link < std::size(kByDcmiNumber) ? kByDcmiNumber[link] : 0;
}

RtResult<DeviceRecord> DescribeUserDevice(int32_t device) {
  Devices& devices = ProcessState::Get().devices;
  RtResult<uint32_t> physical = devices.PhysicalOfUser(device);
  if (!physical.ok()) return physical.status();
  return devices.Describe(*physical);
}

}  // namespace

rtError_t Fail(rtError_t code, const char* message) { return Record(RtStatus(code, message)); }

rtError_t NotBuilt(const char* function) { return Record(sim::NotBuilt(function)); }

rtError_t PeekAtLastError() { return PeekLastError(); }

rtError_t GetLastError() { return TakeLastError(); }

const char* RecentMessage() { return TakeRecentMessage(); }

rtError_t Init() {
  ProcessState& state = ProcessState::Get();
  std::lock_guard<std::mutex> lock(state.init_mutex);
  if (state.init_count++ == 0) return ACL_RT_SUCCESS;
  return Record(RtStatus(ACL_ERROR_REPEAT_INITIALIZE, "aclInit was called before"));
}

rtError_t Finalize() {
  ProcessState& state = ProcessState::Get();
  std::lock_guard<std::mutex> lock(state.init_mutex);
  if (state.init_count == 0) {
    return Record(state.finalized_once
                      ? RtStatus(ACL_ERROR_REPEAT_FINALIZE, "aclFinalize was called before")
                      : RtStatus(ACL_ERROR_UNINITIALIZE, "aclInit was not called"));
  }
  --state.init_count;
  state.finalized_once = true;
  return ACL_RT_SUCCESS;
}

rtError_t SocName(char* text, size_t capacity) {
  RtResult<std::shared_ptr<const NodeView>> view = ProcessState::Get().devices.View();
  return Record(view.ok() ? CopyText((*view)->soc_name, text, capacity) : view.status());
}

rtError_t DriverVersion(char* text, size_t capacity) {
  RtResult<std::shared_ptr<const NodeView>> view = ProcessState::Get().devices.View();
  return Record(view.ok() ? CopyText((*view)->driver_version, text, capacity) : view.status());
}

rtError_t SetDevice(int32_t device) {
  return Record(ProcessState::Get().contexts.SetDevice(device));
}

rtError_t ResetDevice(int32_t device, bool force) {
  return Record(ProcessState::Get().contexts.ResetDevice(device, force));
}

rtError_t GetDevice(int32_t* device) {
  RtResult<std::shared_ptr<Context>> context = ProcessState::Get().contexts.Current();
  if (!context.ok()) return Record(context.status());
  *device = (*context)->user_device();
  return ACL_RT_SUCCESS;
}

rtError_t DeviceCount(uint32_t* count) {
  RtResult<std::shared_ptr<const NodeView>> view = ProcessState::Get().devices.View();
  if (!view.ok()) return Record(view.status());
  *count = static_cast<uint32_t>((*view)->logic_by_user.size());
  return ACL_RT_SUCCESS;
}

rtError_t DeviceAttribute(uint32_t device, aclrtDevAttr attribute, int64_t* value) {
  RtResult<DeviceRecord> record = DescribeUserDevice(static_cast<int32_t>(device));
  if (!record.ok()) return Record(record.status());
  RtResult<std::shared_ptr<const NodeView>> view = ProcessState::Get().devices.View();
  if (!view.ok()) return Record(view.status());
  RtResult<int64_t> found = Attribute(*record, (*view)->chip_family == kSuperPodChip, attribute);
  if (!found.ok()) return Record(found.status());
  *value = *found;
  return ACL_RT_SUCCESS;
}

rtError_t DeviceHealth(int32_t device, aclrtDeviceStatus* status) {
  RtResult<DeviceRecord> record = DescribeUserDevice(device);
  if (!record.ok()) return Record(record.status());
  *status = record->health == 0 ? ACL_RT_DEVICE_STATUS_NORMAL : ACL_RT_DEVICE_STATUS_ABNORMAL;
  return ACL_RT_SUCCESS;
}

rtError_t DeviceUtilization(int32_t device, aclrtUtilizationInfo* utilization) {
  RtResult<DeviceRecord> record = DescribeUserDevice(device);
  if (!record.ok()) return Record(record.status());
  const auto percent = [&record](size_t type) {
    return static_cast<int32_t>(record->utilization_percent[type]);
  };
  utilization->cubeUtilization = percent(kAiCoreUtilization);
  utilization->vectorUtilization = percent(kVectorUtilization);
  utilization->aicpuUtilization = percent(kAiCpuUtilization);
  utilization->memoryUtilization = -1;  // the vendor's word for "not supported" here
  return ACL_RT_SUCCESS;
}

rtError_t SetFloatOverflowMode(aclrtFloatOverflowMode mode) {
  ProcessState& state = ProcessState::Get();
  RtResult<std::shared_ptr<Context>> context = state.contexts.Current();
  if (!context.ok()) return Record(context.status());
  state.devices.SetFloatOverflowMode((*context)->physical_device(), mode);
  return ACL_RT_SUCCESS;
}

rtError_t GetFloatOverflowMode(aclrtFloatOverflowMode* mode) {
  ProcessState& state = ProcessState::Get();
  RtResult<std::shared_ptr<Context>> context = state.contexts.Current();
  if (!context.ok()) return Record(context.status());
  *mode = state.devices.GetFloatOverflowMode((*context)->physical_device());
  return ACL_RT_SUCCESS;
}

rtError_t DeviceTopology(uint32_t device, uint32_t other, uint64_t* links) {
  RtResult<Pair> pair = BothPhysical(static_cast<int32_t>(device), static_cast<int32_t>(other));
  if (!pair.ok()) return Record(pair.status());
  RtResult<uint32_t> link = LinkBetween(pair->device, pair->peer);
  if (!link.ok()) return Record(link.status());
  const uint64_t bit = TopologyBit(*link);
  if (bit == 0) return Fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "no link that ACL has a bit for");
  *links = bit;
  return ACL_RT_SUCCESS;
}

rtError_t DefaultContextState(int32_t device, int32_t* active) {
  ProcessState& state = ProcessState::Get();
  RtResult<uint32_t> physical = state.devices.PhysicalOfUser(device);
  if (!physical.ok()) return Record(physical.status());
  *active = state.contexts.IsSet(*physical) ? 1 : 0;
  return ACL_RT_SUCCESS;
}

rtError_t LogicOfUser(int32_t user, int32_t* logic) {
  return Record(Store(ProcessState::Get().devices.LogicOfUser(user), logic));
}

rtError_t UserOfLogic(int32_t logic, int32_t* user) {
  return Record(Store(ProcessState::Get().devices.UserOfLogic(logic), user));
}

rtError_t LogicOfPhysical(int32_t physical, int32_t* logic) {
  return Record(Store(ProcessState::Get().devices.LogicOfPhysical(physical), logic));
}

rtError_t PhysicalOfLogic(int32_t logic, int32_t* physical) {
  return Record(Store(ProcessState::Get().devices.PhysicalOfLogic(logic), physical));
}

rtError_t PhysicalOfUser(int32_t user, int32_t* physical) {
  return Record(Store(ProcessState::Get().devices.PhysicalOfUser(user), physical));
}

rtError_t UserOfPhysical(int32_t physical, int32_t* user) {
  return Record(Store(ProcessState::Get().devices.UserOfPhysical(physical), user));
}

rtError_t CanAccessPeer(int32_t device, int32_t peer, int32_t* can) {
  RtResult<Pair> pair = BothPhysical(device, peer);
  if (!pair.ok()) return Record(pair.status());
  RtResult<uint32_t> link = LinkBetween(pair->device, pair->peer);
  if (!link.ok()) return Record(link.status());
  *can = LinkCarriesMemory(*link) ? 1 : 0;
  return ACL_RT_SUCCESS;
}

rtError_t EnablePeer(int32_t peer) {
  RtResult<Pair> pair = CurrentAndPeer(peer);
  return Record(pair.ok() ? EnablePeerAccess(pair->device, pair->peer) : pair.status());
}

rtError_t DisablePeer(int32_t peer) {
  RtResult<Pair> pair = CurrentAndPeer(peer);
  return Record(pair.ok() ? DisablePeerAccess(pair->device, pair->peer) : pair.status());
}

rtError_t PeerStatus(int32_t device, int32_t peer, int32_t* status) {
  RtResult<Pair> pair = BothPhysical(device, peer);
  if (!pair.ok()) return Record(pair.status());
  RtResult<bool> enabled = PeerAccessIsEnabled(pair->device, pair->peer);
  if (!enabled.ok()) return Record(enabled.status());
  *status = *enabled ? 1 : 0;
  return ACL_RT_SUCCESS;
}

}  // namespace npu_ipc::sim::rt
