// The vendor's process side as the injected library uses it: AscendCL's IPC-memory and context
// calls, and the runtime's peer-access calls, as one table of typed pointers.
//
// Header-only and freestanding (no libstdc++), because its one user lives in other people's
// processes. Nothing here links or loads a vendor library: whoever fills the table brings a
// function that finds a symbol by name. The prototypes are declared anew with the vendor's names,
// types and linkage, so that a translation unit that includes this and the vendor's own header does
// not compile unless they agree (tests/abi).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace npu_ipc::hal::acl {

using Error = int;      // aclError, and rtError_t of the functions below
using Context = void*;  // aclrtContext

inline constexpr Error kSuccess = 0;
inline constexpr Error kContextNull = 107002;          // acl: ACL_ERROR_RT_CONTEXT_NULL
inline constexpr Error kFeatureNotSupported = 207000;  // acl: ACL_ERROR_RT_FEATURE_NOT_SUPPORT
inline constexpr Error kMemoryAllocation = 207001;     // acl: ACL_ERROR_RT_MEMORY_ALLOCATION
inline constexpr size_t kExportKeyBytes = 65;          // acl: 64 printable characters and a NUL
inline constexpr uint64_t kFlagDefault = 0;  // acl: ACL_RT_IPC_MEM_{EXPORT,IMPORT}_FLAG_DEFAULT
// acl: ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION
inline constexpr uint64_t kFlagDisablePidValidation = 1;
// acl: ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS
inline constexpr uint64_t kFlagEnablePeerAccess = 1;

namespace vendor {
extern "C" {
// acl/acl_rt.h
Error aclrtGetCurrentContext(Context* context);
Error aclrtSetCurrentContext(Context context);
Error aclrtGetDevice(int32_t* user_device);
Error aclrtIpcMemGetExportKey(void* device_pointer, size_t bytes, char* key, size_t key_bytes,
                              uint64_t flags);
Error aclrtIpcMemSetImportPid(const char* key, int32_t* pids, size_t count);
Error aclrtIpcMemImportByKey(void** device_pointer, const char* key, uint64_t flags);
Error aclrtIpcMemClose(const char* key);
Error aclrtDeviceGetBareTgid(int32_t* pid);
Error aclrtGetPhyDevIdByUserDevId(int32_t user_device, int32_t* physical_device);
// runtime: rt_external_device.h
Error rtGetDevicePhyIdByIndex(uint32_t user_device, uint32_t* physical_device);
Error rtEnableP2P(uint32_t own_user_device, uint32_t peer_physical_device, uint32_t flag);
Error rtDisableP2P(uint32_t own_user_device, uint32_t peer_physical_device);
}
}  // namespace vendor

struct IpcTable {
  // Required: there is no sharing without them.
  decltype(&vendor::aclrtGetCurrentContext) get_current_context;
  decltype(&vendor::aclrtSetCurrentContext) set_current_context;
  decltype(&vendor::aclrtGetDevice) get_device;
  decltype(&vendor::aclrtIpcMemGetExportKey) get_export_key;
  decltype(&vendor::aclrtIpcMemSetImportPid) set_import_pid;
  decltype(&vendor::aclrtIpcMemImportByKey) import_by_key;
  decltype(&vendor::aclrtIpcMemClose) close;
  // Optional, null where the installed version lacks them.
  decltype(&vendor::aclrtDeviceGetBareTgid) get_bare_tgid;
  decltype(&vendor::rtGetDevicePhyIdByIndex) get_physical_device_by_index;
  decltype(&vendor::aclrtGetPhyDevIdByUserDevId) get_physical_device_by_user_device;
  decltype(&vendor::rtEnableP2P) enable_peer_access;
  decltype(&vendor::rtDisableP2P) disable_peer_access;
};

struct IpcTableEntry {
  const char* symbol;
  size_t offset;  // of its pointer in IpcTable
  bool required;
};

inline constexpr IpcTableEntry kIpcTableEntries[] = {
    {"aclrtGetCurrentContext", offsetof(IpcTable, get_current_context), true},
    {"aclrtSetCurrentContext", offsetof(IpcTable, set_current_context), true},
    {"aclrtGetDevice", offsetof(IpcTable, get_device), true},
    {"aclrtIpcMemGetExportKey", offsetof(IpcTable, get_export_key), true},
    {"aclrtIpcMemSetImportPid", offsetof(IpcTable, set_import_pid), true},
    {"aclrtIpcMemImportByKey", offsetof(IpcTable, import_by_key), true},
    {"aclrtIpcMemClose", offsetof(IpcTable, close), true},
    {"aclrtDeviceGetBareTgid", offsetof(IpcTable, get_bare_tgid), false},
    {"rtGetDevicePhyIdByIndex", offsetof(IpcTable, get_physical_device_by_index), false},
    {"aclrtGetPhyDevIdByUserDevId", offsetof(IpcTable, get_physical_device_by_user_device), false},
    {"rtEnableP2P", offsetof(IpcTable, enable_peer_access), false},
    {"rtDisableP2P", offsetof(IpcTable, disable_peer_access), false},
};
static_assert(sizeof(IpcTable) ==
              sizeof(void*) * (sizeof(kIpcTableEntries) / sizeof(kIpcTableEntries[0])));

// Fills `table` through `find(symbol) -> void*` (null: not there). Calls `missing(symbol)` for
// every required entry that is not there, so that one error can name them all; true when there is
// none.
template <class Find, class Missing>
bool FillIpcTable(IpcTable* table, Find find, Missing missing) {
  bool complete = true;
  for (const IpcTableEntry& entry : kIpcTableEntries) {
    void* const function = find(entry.symbol);
    memcpy(reinterpret_cast<char*>(table) + entry.offset, &function, sizeof(function));
    if (function == nullptr && entry.required) {
      missing(entry.symbol);
      complete = false;
    }
  }
  return complete;
}

}  // namespace npu_ipc::hal::acl
