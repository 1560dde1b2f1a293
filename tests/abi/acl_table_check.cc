// Compiled, never run: the injected libraries' own declarations (hal/acl/acl_ipc.h, and the entries
// that the preload library defines in the vendor's place) beside the vendor's headers. Functions of
// one C name and different types do not compile together; what is asserted here besides is that
// both mean the same entities, and that none is left out.
#include <acl/acl.h>
#include <runtime/rt.h>
#include <runtime/rts/rts_mem.h>

#include <string_view>
#include <type_traits>

#include "hal/acl/acl_ipc.h"
#include "runtime/preload/runtime_entries.h"

namespace npu_ipc::hal::acl {

static_assert(std::is_same_v<Error, aclError> && std::is_same_v<Error, rtError_t>);
static_assert(std::is_same_v<Context, aclrtContext>);
static_assert(kSuccess == ACL_SUCCESS && kSuccess == RT_ERROR_NONE);
static_assert(kContextNull == ACL_ERROR_RT_CONTEXT_NULL);
static_assert(kMemoryAllocation == ACL_ERROR_RT_MEMORY_ALLOCATION);
static_assert(kFlagDefault == ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT);
static_assert(kFlagDefault == ACL_RT_IPC_MEM_IMPORT_FLAG_DEFAULT);

constexpr std::string_view kChecked[] = {
#define SAME(name)                                                                                \
  (static_cast<void>(                                                                             \
       [] { static_assert(std::is_same_v<decltype(&vendor::name), decltype(&::name)>, #name); }), \
   #name)
    SAME(aclrtGetCurrentContext),
    SAME(aclrtSetCurrentContext),
    SAME(aclrtGetDevice),
    SAME(aclrtIpcMemGetExportKey),
    SAME(aclrtIpcMemSetImportPid),
    SAME(aclrtIpcMemImportByKey),
    SAME(aclrtIpcMemClose),
    SAME(aclrtDeviceGetBareTgid),
    SAME(rtGetDevicePhyIdByIndex),
    SAME(rtEnableP2P),
    SAME(rtDisableP2P),
#undef SAME
    "aclrtGetPhyDevIdByUserDevId",
};
// Newer than the wheel's headers; noted/runtime.txt has its type.
static_assert(std::is_same_v<decltype(&vendor::aclrtGetPhyDevIdByUserDevId),
                             aclError (*)(int32_t, int32_t*)>);

constexpr bool EveryEntryIsChecked() {
  for (const IpcTableEntry& entry : kIpcTableEntries) {
    bool checked = false;
    for (std::string_view name : kChecked) checked |= name == entry.symbol;
    if (!checked) return false;
  }
  return true;
}
static_assert(EveryEntryIsChecked(), "a new entry of kIpcTableEntries goes into kChecked");

}  // namespace npu_ipc::hal::acl
