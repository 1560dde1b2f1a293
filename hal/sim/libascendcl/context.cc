#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidArgument;

aclError aclrtCreateContext(aclrtContext* context, int32_t deviceId) {
  REQUIRE_NOT_NULL(context);
  return rt::CreateContext(deviceId, context);
}

aclError aclrtDestroyContext(aclrtContext context) {
  REQUIRE_NOT_NULL(context);
  return rt::DestroyContext(context);
}

aclError aclrtSetCurrentContext(aclrtContext context) {
  REQUIRE_NOT_NULL(context);
  return rt::SetCurrentContext(context);
}

aclError aclrtGetCurrentContext(aclrtContext* context) {
  REQUIRE_NOT_NULL(context);
  return rt::GetCurrentContext(context);
}

aclError aclrtGetPrimaryCtxState(int32_t deviceId, uint32_t* flags, int32_t* active) {
  REQUIRE_NOT_NULL(active);
  if (flags != nullptr) return InvalidArgument(__func__, "flags is reserved and null");
  return rt::DefaultContextState(deviceId, active);
}
