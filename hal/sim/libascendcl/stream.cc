#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidTimeout;
using npu_ipc::sim::IsTimeout;

aclError aclrtCreateStream(aclrtStream* stream) {
  REQUIRE_NOT_NULL(stream);
  return rt::CreateStream(stream);
}

// Priority and flags are hints for a scheduler that is not here.
aclError aclrtCreateStreamWithConfig(aclrtStream* stream, uint32_t, uint32_t) {
  REQUIRE_NOT_NULL(stream);
  return rt::CreateStream(stream);
}

aclError aclrtDestroyStream(aclrtStream stream) {
  REQUIRE_NOT_NULL(stream);
  return rt::DestroyStream(stream, false);
}

aclError aclrtDestroyStreamForce(aclrtStream stream) {
  REQUIRE_NOT_NULL(stream);
  return rt::DestroyStream(stream, true);
}

aclError aclrtSynchronizeStream(aclrtStream stream) { return rt::SynchronizeStream(stream, -1); }

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
  if (!IsTimeout(timeout)) return InvalidTimeout(__func__, timeout);
  return rt::SynchronizeStream(stream, timeout);
}

aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status) {
  REQUIRE_NOT_NULL(status);
  return rt::QueryStream(stream, status);
}

aclError aclrtStreamGetId(aclrtStream stream, int32_t* streamId) {
  REQUIRE_NOT_NULL(streamId);
  return rt::StreamId(stream, streamId);
}
