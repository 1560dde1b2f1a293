#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;

aclError aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count,
                     aclrtMemcpyKind kind) {
  REQUIRE_NOT_NULL(dst);
  REQUIRE_NOT_NULL(src);
  return rt::Copy(dst, destMax, src, count, kind);
}

aclError aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count,
                          aclrtMemcpyKind kind, aclrtStream stream) {
  REQUIRE_NOT_NULL(dst);
  REQUIRE_NOT_NULL(src);
  return rt::CopyAsync(dst, destMax, src, count, kind, stream);
}

aclError aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) {
  REQUIRE_NOT_NULL(devPtr);
  return rt::Fill(devPtr, maxCount, value, count);
}

aclError aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count,
                          aclrtStream stream) {
  REQUIRE_NOT_NULL(devPtr);
  return rt::FillAsync(devPtr, maxCount, value, count, stream);
}
