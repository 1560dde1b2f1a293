// The vendor's functions as the client's code calls them here: the interposed ones from behind this
// library, the others by name.
#include <string.h>

#include "runtime/preload/runtime_entries.h"
#include "runtime/src/loaded_symbols.h"
#include "runtime/src/vendor.h"

namespace npu_ipc::runtime {
namespace {

using hal::acl::Context;
using hal::acl::Error;
using hal::acl::IpcTable;

// Looked for every time, as the interposed ones are.
template <class Function, class... Arguments>
Error Call(const char* symbol, Arguments... arguments) {
  const auto function = FindLoadedFunction<Function>(symbol);
  return function == nullptr ? hal::acl::kFeatureNotSupported : function(arguments...);
}

namespace vendor = hal::acl::vendor;
#define NPU_IPC_CALL(name, ...) Call<decltype(&vendor::name)>(#name, __VA_ARGS__)

Error GetCurrentContext(Context* context) { return NPU_IPC_CALL(aclrtGetCurrentContext, context); }

Error SetCurrentContext(Context context) { return NPU_IPC_CALL(aclrtSetCurrentContext, context); }

Error GetDevice(int32_t* device) { return NPU_IPC_CALL(aclrtGetDevice, device); }

Error GetExportKey(void* pointer, size_t bytes, char* key, size_t key_bytes, uint64_t flags) {
  return preload::NextGetExportKey(pointer, bytes, key, static_cast<uint32_t>(key_bytes), flags);
}

Error SetImportPid(const char* key, int32_t* pids, size_t count) {
  return preload::NextSetImportPid(key, pids, static_cast<int>(count));
}

Error GetBareTgid(int32_t* pid) {
  uint32_t bare_tgid = 0;
  const Error code = preload::NextDeviceGetBareTgid(&bare_tgid);
  memcpy(pid, &bare_tgid, sizeof(*pid));
  return code;
}

Error GetPhysicalDevice(uint32_t user_device, uint32_t* physical_device) {
  const Error code = NPU_IPC_CALL(rtGetDevicePhyIdByIndex, user_device, physical_device);
  if (code != hal::acl::kFeatureNotSupported) return code;
  int32_t physical = 0;
  const Error other_code =
      NPU_IPC_CALL(aclrtGetPhyDevIdByUserDevId, static_cast<int32_t>(user_device), &physical);
  *physical_device = static_cast<uint32_t>(physical);
  return other_code;
}

Error EnablePeerAccess(uint32_t own, uint32_t peer, uint32_t flag) {
  return NPU_IPC_CALL(rtEnableP2P, own, peer, flag);
}

Error DisablePeerAccess(uint32_t own, uint32_t peer) {
  return NPU_IPC_CALL(rtDisableP2P, own, peer);
}

#undef NPU_IPC_CALL

constexpr IpcTable kTable = {
    .get_current_context = &GetCurrentContext,
    .set_current_context = &SetCurrentContext,
    .get_device = &GetDevice,
    .get_export_key = &GetExportKey,
    .set_import_pid = &SetImportPid,
    .import_by_key = &preload::NextImportByKey,
    .close = &preload::NextClose,
    .get_bare_tgid = &GetBareTgid,
    .get_physical_device_by_index = &GetPhysicalDevice,
    .get_physical_device_by_user_device = nullptr,
    .enable_peer_access = &EnablePeerAccess,
    .disable_peer_access = &DisablePeerAccess,
};

}  // namespace

const IpcTable* FindVendor(Text* /*error*/) { return &kTable; }

}  // namespace npu_ipc::runtime
