// The vendor's own entries of libruntime.so. They go to the state directly, never through one
// another's symbol: a preloaded library that defines one of them is passed once a call.
#define RTS_API __attribute__((visibility("default")))

#include "hal/sim/libruntime/driver.h"
#include "hal/sim/libruntime/peer_access.h"
#include "hal/sim/libruntime/process_state.h"
#include "runtime/rt.h"
#include "runtime/rts/rts_mem.h"

namespace npu_ipc::sim {
namespace {

// IPC memory calls need a context (runtime: api_impl.cc).
template <class Call>
rtError_t InContext(Call call) {
  ProcessState& state = ProcessState::Get();
  RtResult<std::shared_ptr<Context>> context = state.contexts.Current();
  if (!context.ok()) return Record(context.status());
  return Record(call(state, **context));
}

rtError_t Export(const void* ptr, size_t size, char* key, uint32_t len, uint64_t flags) {
  return InContext([&](ProcessState& state, Context&) {
    return state.ipc_memory.Export(ptr, size, key, len, flags);
  });
}

rtError_t SetImportPids(const char* key, const int32_t* pids, int count) {
  return InContext([&](ProcessState& state, Context&) {
    return state.ipc_memory.SetImportPids(key, pids, count);
  });
}

rtError_t Import(void** ptr, const char* key, uint64_t flags) {
  return InContext([&](ProcessState& state, Context& context) {
    if (ptr == nullptr) return RtStatus(ACL_ERROR_RT_PARAM_INVALID, "no room for the address");
    RtResult<void*> imported = state.ipc_memory.Import(key, flags, context.physical_device());
    if (imported.ok()) *ptr = *imported;
    return imported.status();
  });
}

rtError_t NullResult() {
  return Record(RtStatus(ACL_ERROR_RT_PARAM_INVALID, "a pointer to the result is null"));
}

template <class T>
rtError_t Store(RtResult<uint32_t> value, T* to) {
  if (!value.ok()) return Record(value.status());
  *to = static_cast<T>(*value);
  return ACL_RT_SUCCESS;
}

}  // namespace
}  // namespace npu_ipc::sim

using namespace npu_ipc::sim;  // NOLINT: the rest of this file is C functions

extern "C" {

rtError_t rtsIpcMemGetExportKey(const void* ptr, size_t size, char* key, uint32_t len,
                                uint64_t flags) {
  return Export(ptr, size, key, len, flags);
}

rtError_t rtsIpcMemSetImportPid(const char* key, int32_t pid[], int num) {
  return SetImportPids(key, pid, num);
}

rtError_t rtsIpcMemImportByKey(void** ptr, const char* key, uint64_t flags) {
  return Import(ptr, key, flags);
}

rtError_t rtsIpcMemClose(const char* key) {
  return InContext([&](ProcessState& state, Context&) { return state.ipc_memory.Close(key); });
}

rtError_t rtIpcSetMemoryName(const void* ptr, uint64_t byteCount, char* name, uint32_t len) {
  return Export(ptr, byteCount, name, len, 0);
}

rtError_t rtIpcDestroyMemoryName(const char* name) {
  return InContext([&](ProcessState& state, Context&) { return state.ipc_memory.Destroy(name); });
}

rtError_t rtIpcOpenMemory(void** ptr, const char* name) { return Import(ptr, name, 0); }

rtError_t rtIpcCloseMemory(const void* ptr) {
  return InContext(
      [&](ProcessState& state, Context&) { return state.ipc_memory.CloseImport(ptr); });
}

rtError_t rtSetIpcMemPid(const char* name, int32_t pid[], int num) {
  return SetImportPids(name, pid, num);
}

rtError_t rtSetIpcMemorySuperPodPid(const char*, uint32_t, int32_t[], int32_t) {
  return Record(NotBuilt(__func__));
}

rtError_t rtDeviceGetBareTgid(uint32_t* pid) {
  if (pid == nullptr) return NullResult();
  Request request = {};
  request.operation = Operation::kBareTgid;
  RtResult<DriverReply> answer = CallDriver(request, "asking for this process' bare tgid");
  // The vendor's reports success with -1 (driver: devdrv_container.c): callers check pid > 0.
  *pid = answer.ok() ? answer->reply.value32 : static_cast<uint32_t>(-1);
  return ACL_RT_SUCCESS;
}

rtError_t rtGetDevicePhyIdByIndex(uint32_t devIndex, uint32_t* phyId) {
  if (phyId == nullptr) return NullResult();
  return Store(ProcessState::Get().devices.PhysicalOfLogic(static_cast<int32_t>(devIndex)), phyId);
}

rtError_t rtGetDeviceIndexByPhyId(uint32_t phyId, uint32_t* devIndex) {
  if (devIndex == nullptr) return NullResult();
  return Store(ProcessState::Get().devices.LogicOfPhysical(static_cast<int32_t>(phyId)), devIndex);
}

rtError_t rtGetLogicDevIdByUserDevId(const int32_t userDevId, int32_t* const logicDevId) {
  if (logicDevId == nullptr) return NullResult();
  return Store(ProcessState::Get().devices.LogicOfUser(userDevId), logicDevId);
}

rtError_t rtEnableP2P(uint32_t devIdDes, uint32_t phyIdSrc, uint32_t flag) {
  if (flag != 0) {
    return Record(RtStatus(
        ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
        "rtEnableP2P with flag " + std::to_string(flag) + " is not supported by the simulator"));
  }
  RtResult<uint32_t> own =
      ProcessState::Get().devices.PhysicalOfUser(static_cast<int32_t>(devIdDes));
  return Record(own.ok() ? EnablePeerAccess(*own, phyIdSrc) : own.status());
}

rtError_t rtDisableP2P(uint32_t devIdDes, uint32_t phyIdSrc) {
  RtResult<uint32_t> own =
      ProcessState::Get().devices.PhysicalOfUser(static_cast<int32_t>(devIdDes));
  return Record(own.ok() ? DisablePeerAccess(*own, phyIdSrc) : own.status());
}

rtError_t rtGetP2PStatus(uint32_t devIdDes, uint32_t phyIdSrc, uint32_t* status) {
  if (status == nullptr) return NullResult();
  RtResult<uint32_t> own =
      ProcessState::Get().devices.PhysicalOfUser(static_cast<int32_t>(devIdDes));
  if (!own.ok()) return Record(own.status());
  RtResult<bool> enabled = PeerAccessIsEnabled(*own, phyIdSrc);
  if (!enabled.ok()) return Record(enabled.status());
  *status = *enabled ? 1 : 0;
  return ACL_RT_SUCCESS;
}

rtError_t rtGetDeviceInfo(uint32_t, int32_t, int32_t, int64_t*) {
  return Record(NotBuilt(__func__));
}

rtError_t rtGetPhyDeviceInfo(uint32_t, int32_t, int32_t, int64_t*) {
  return Record(NotBuilt(__func__));
}

rtError_t rtGetPairPhyDevicesInfo(uint32_t, uint32_t, int32_t, int64_t*) {
  return Record(NotBuilt(__func__));
}

rtError_t rtGetServerIDBySDID(uint32_t sdid, uint32_t* srvId) {
  if (srvId == nullptr) return NullResult();
  *srvId = sdid >> 22;
  return ACL_RT_SUCCESS;
}

}  // extern "C"
