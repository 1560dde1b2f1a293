#include <string.h>

#include <mutex>

#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidArgument;
using npu_ipc::sim::NotBuiltWith;

aclError aclInit(const char*) { return rt::Init(); }

aclError aclFinalize() { return rt::Finalize(); }

const char* aclGetRecentErrMsg() { return rt::RecentMessage(); }

aclError aclrtGetLastError(aclrtLastErrLevel level) {
  if (level != ACL_RT_THREAD_LEVEL) return InvalidArgument(__func__, "unknown level");
  return rt::GetLastError();
}

aclError aclrtPeekAtLastError(aclrtLastErrLevel level) {
  if (level != ACL_RT_THREAD_LEVEL) return InvalidArgument(__func__, "unknown level");
  return rt::PeekAtLastError();
}

const char* aclrtGetSocName() {
  // Programs keep the pointer: written once, when the driver first answers.
  static constinit std::mutex mutex;
  static constinit char name[32] = {};
  std::lock_guard<std::mutex> lock(mutex);
  if (name[0] == '\0' && rt::SocName(name, sizeof(name)) != ACL_SUCCESS) return nullptr;
  return name;
}

aclError aclrtGetVersion(int32_t* majorVersion, int32_t* minorVersion, int32_t* patchVersion) {
  REQUIRE_NOT_NULL(majorVersion);
  REQUIRE_NOT_NULL(minorVersion);
  REQUIRE_NOT_NULL(patchVersion);
  *majorVersion = ACL_MAJOR_VERSION;
  *minorVersion = ACL_MINOR_VERSION;
  *patchVersion = ACL_PATCH_VERSION;
  return ACL_SUCCESS;
}

aclError aclrtGetRunMode(aclrtRunMode* runMode) {
  REQUIRE_NOT_NULL(runMode);
  *runMode = ACL_HOST;
  return ACL_SUCCESS;
}

aclError aclsysGetVersionStr(char* pkgName, char* versionStr) {
  REQUIRE_NOT_NULL(pkgName);
  REQUIRE_NOT_NULL(versionStr);
  if (strcmp(pkgName, "driver") != 0) {
    return NotBuiltWith(__func__, "for another package than \"driver\"");
  }
  return rt::DriverVersion(versionStr, ACL_PKG_VERSION_MAX_SIZE);
}
