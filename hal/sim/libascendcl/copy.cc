#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;

namespace {

bool IsPageLocked(const void* host) {
  aclrtPtrAttributes attributes = {};
  return rt::PointerAttributes(host, &attributes) == ACL_SUCCESS &&
         attributes.location.type == ACL_MEM_LOCATION_TYPE_HOST;
}

}  // namespace

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

// On the stream as aclrtMemcpyAsync is; host memory that is not page-locked is copied when it
// returns (hicann/runtime: docs/api_docs/aclrtMemcpyAsyncWithCondition.md).
aclError aclrtMemcpyAsyncWithCondition(void* dst, size_t destMax, const void* src, size_t count,
                                       aclrtMemcpyKind kind, aclrtStream stream) {
  REQUIRE_NOT_NULL(dst);
  REQUIRE_NOT_NULL(src);
  const void* const host = kind == ACL_MEMCPY_HOST_TO_DEVICE   ? src
                           : kind == ACL_MEMCPY_DEVICE_TO_HOST ? dst
                                                               : nullptr;
  const bool at_once = host != nullptr && !IsPageLocked(host);
  const aclError queued = rt::CopyAsync(dst, destMax, src, count, kind, stream);
  if (queued != ACL_SUCCESS || !at_once) return queued;
  return aclrtSynchronizeStream(stream);
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
