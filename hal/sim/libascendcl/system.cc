#include <string.h>

#include <iterator>
#include <mutex>

#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidArgument;
using npu_ipc::sim::NotBuiltWith;

namespace {

constexpr aclCannAttr kCannAttributes[] = {ACL_CANN_ATTR_INF_NAN, ACL_CANN_ATTR_BF16,
                                           ACL_CANN_ATTR_JIT_COMPILE};

// The first CANN whose exports and imports have flags, as they have here.
constexpr char kCannVersion[] = "8.3.RC1";

// "8.3.RC1", part by part.
void SplitVersion(aclCANNPackageVersion* version) {
  char* const parts[] = {version->majorVersion, version->minorVersion, version->releaseVersion,
                         version->patchVersion};
  const char* text = version->version;
  for (char* const part : parts) {
    const size_t length = ::strcspn(text, ".");
    if (length >= ACL_PKG_VERSION_PARTS_MAX_SIZE) return;
    ::memcpy(part, text, length);
    text += length;
    if (*text == '\0') return;
    ++text;
  }
}

}  // namespace

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

// What the operators of a package can do on these chips: the runtime's own sample prints 1 for each
// of the three on a 910B3 (hicann/runtime: runtime_compatibility).
aclError aclGetCannAttribute(aclCannAttr cannAttr, int32_t* value) {
  REQUIRE_NOT_NULL(value);
  for (const aclCannAttr known : kCannAttributes) {
    if (cannAttr != known) continue;
    *value = 1;
    return ACL_SUCCESS;
  }
  return InvalidArgument(__func__, "unknown attribute");
}

aclError aclGetCannAttributeList(const aclCannAttr** cannAttrList, size_t* num) {
  REQUIRE_NOT_NULL(cannAttrList);
  REQUIRE_NOT_NULL(num);
  *cannAttrList = kCannAttributes;
  *num = std::size(kCannAttributes);
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

aclError aclsysGetCANNVersion(aclCANNPackageName name, aclCANNPackageVersion* version) {
  REQUIRE_NOT_NULL(version);
  aclCANNPackageVersion found = {};
  switch (name) {
    case ACL_PKG_NAME_CANN:
    case ACL_PKG_NAME_RUNTIME:
      ::strcpy(found.version, kCannVersion);
      break;
    case ACL_PKG_NAME_DRIVER:
      if (const aclError error = rt::DriverVersion(found.version, sizeof(found.version));
          error != ACL_SUCCESS) {
        return error;
      }
      break;
    default:
      return NotBuiltWith(__func__, "for a package that is not here");
  }
  SplitVersion(&found);
  *version = found;
  return ACL_SUCCESS;
}
