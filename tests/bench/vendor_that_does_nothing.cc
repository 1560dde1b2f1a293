// libascendcl.so and libruntime.so whose calls succeed and do nothing: what is left of an attach is
// our own part. Only what the benchmark's parties and the injected library call.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>

#define EXPORTED extern "C" __attribute__((visibility("default")))

#if defined(BUILDING_ASCENDCL)

namespace {

int g_context;

}  // namespace

EXPORTED int aclInit(const char*) { return 0; }
EXPORTED int aclFinalize() { return 0; }
EXPORTED const char* aclGetRecentErrMsg() { return nullptr; }
EXPORTED int aclrtSetDevice(int32_t) { return 0; }
EXPORTED int aclrtGetDevice(int32_t* device) {
  *device = 0;
  return 0;
}
// The two parties must look as if they were on different cards: the device that Allocate gave says
// which.
EXPORTED int aclrtGetPhyDevIdByUserDevId(const int32_t, int32_t* const physical) {
  const char* device = ::getenv("BENCH_PHYSICAL_DEVICE");
  *physical = device != nullptr ? ::atoi(device) : 0;
  return 0;
}
EXPORTED int aclrtGetCurrentContext(void** context) {
  *context = &g_context;
  return 0;
}
EXPORTED int aclrtSetCurrentContext(void*) { return 0; }
EXPORTED int aclrtMalloc(void** dev_ptr, size_t bytes, int) {
  // An address that nothing dereferences, aligned as device memory is.
  static std::atomic<uintptr_t> next{uintptr_t{1} << 40};
  *dev_ptr = reinterpret_cast<void*>(
      next.fetch_add((bytes + (2u << 20) - 1) & ~uintptr_t{(2u << 20) - 1}));
  return 0;
}
EXPORTED int aclrtFree(void*) { return 0; }
EXPORTED int aclrtMemset(void*, size_t, int32_t, size_t) { return 0; }
EXPORTED int aclrtMemcpyAsync(void*, size_t, const void*, size_t, int, void*) { return 0; }
EXPORTED int aclrtCreateStream(void** stream) {
  *stream = &g_context;
  return 0;
}
EXPORTED int aclrtSynchronizeStream(void*) { return 0; }
EXPORTED int aclrtDeviceGetBareTgid(int32_t* pid) {
  *pid = 1;
  return 0;
}
EXPORTED int aclrtIpcMemGetExportKey(void* dev_ptr, size_t, char* key, size_t bytes, uint64_t) {
  ::snprintf(key, bytes, "%064llx",
             static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(dev_ptr)));
  return 0;
}
EXPORTED int aclrtIpcMemSetImportPid(const char*, int32_t*, size_t) { return 0; }
EXPORTED int aclrtIpcMemImportByKey(void** dev_ptr, const char* key, uint64_t) {
  *dev_ptr = reinterpret_cast<void*>(static_cast<uintptr_t>(::strtoull(key, nullptr, 16)));
  return 0;
}
EXPORTED int aclrtIpcMemClose(const char*) { return 0; }

#else

EXPORTED int rtEnableP2P(uint32_t, uint32_t, uint32_t) { return 0; }
EXPORTED int rtDisableP2P(uint32_t, uint32_t) { return 0; }
EXPORTED int rtGetP2PStatus(uint32_t, uint32_t, uint32_t* status) {
  *status = 1;
  return 0;
}
EXPORTED int rtGetDevicePhyIdByIndex(uint32_t, uint32_t* physical) {
  const char* device = ::getenv("BENCH_PHYSICAL_DEVICE");
  *physical = device != nullptr ? static_cast<uint32_t>(::atoi(device)) : 0;
  return 0;
}

#endif
