#include "runtime/preload/runtime_entries.h"

#include "runtime/src/errno_keeper.h"
#include "runtime/src/loaded_symbols.h"

namespace npu_ipc::preload {
namespace {

using hal::acl::Error;

// `ours` is this library's own definition: it is linked so that no other one takes its place here.
template <class Function, class... Arguments>
Error CallNext(const char* symbol, Function ours, Arguments... arguments) {
  Function next = nullptr;
  {
    const runtime::ErrnoKeeper keep_errno;
    next = runtime::FindLoadedFunction<Function>(symbol, ours);
  }
  return next == nullptr ? hal::acl::kFeatureNotSupported : next(arguments...);
}

}  // namespace

Error NextGetExportKey(const void* pointer, size_t bytes, char* key, uint32_t key_bytes,
                       uint64_t flags) {
  return CallNext("rtsIpcMemGetExportKey", &rtsIpcMemGetExportKey, pointer, bytes, key, key_bytes,
                  flags);
}

Error NextSetImportPid(const char* key, int32_t* pids, int count) {
  return CallNext("rtsIpcMemSetImportPid", &rtsIpcMemSetImportPid, key, pids, count);
}

Error NextImportByKey(void** pointer, const char* key, uint64_t flags) {
  return CallNext("rtsIpcMemImportByKey", &rtsIpcMemImportByKey, pointer, key, flags);
}

Error NextClose(const char* key) { return CallNext("rtsIpcMemClose", &rtsIpcMemClose, key); }

Error NextDeviceGetBareTgid(uint32_t* pid) {
  return CallNext("rtDeviceGetBareTgid", &rtDeviceGetBareTgid, pid);
}

}  // namespace npu_ipc::preload
