// These go to the vendor's rts entries through the PLT: what a preloaded library defines of them is
// reached, whatever way the program found the functions below.
#include <limits.h>

#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"
#include "runtime/dev.h"
#include "runtime/rts/rts_mem.h"

namespace rt = npu_ipc::sim::rt;

aclError aclrtIpcMemGetExportKey(void* devPtr, size_t size, char* key, size_t len, uint64_t flags) {
  REQUIRE_NOT_NULL(devPtr);
  REQUIRE_NOT_NULL(key);
  const uint32_t capacity = len > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(len);
  return rtsIpcMemGetExportKey(devPtr, size, key, capacity, flags);
}

aclError aclrtIpcMemSetImportPid(const char* key, int32_t* pid, size_t num) {
  REQUIRE_NOT_NULL(key);
  REQUIRE_NOT_NULL(pid);
  return rtsIpcMemSetImportPid(key, pid, num > INT_MAX ? INT_MAX : static_cast<int>(num));
}

aclError aclrtIpcMemImportByKey(void** devPtr, const char* key, uint64_t flags) {
  REQUIRE_NOT_NULL(devPtr);
  REQUIRE_NOT_NULL(key);
  return rtsIpcMemImportByKey(devPtr, key, flags);
}

aclError aclrtIpcMemClose(const char* key) {
  REQUIRE_NOT_NULL(key);
  return rtsIpcMemClose(key);
}

aclError aclrtDeviceGetBareTgid(int32_t* pid) {
  REQUIRE_NOT_NULL(pid);
  uint32_t bare_tgid = 0;
  const aclError error = rtDeviceGetBareTgid(&bare_tgid);
  if (error == ACL_SUCCESS) *pid = static_cast<int32_t>(bare_tgid);
  return error;
}
