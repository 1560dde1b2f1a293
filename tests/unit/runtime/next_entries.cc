// A library of its own, as what the preload library calls must be loaded behind it. The functions
// are the test program's (fake_runtime.cc).
#include "runtime/preload/runtime_entries.h"
#include "tests/unit/runtime/fake_runtime.h"

extern "C" {

int rtsIpcMemGetExportKey(const void* pointer, size_t bytes, char* key, uint32_t key_bytes,
                          uint64_t flags) {
  return FakeGetExportKey(pointer, bytes, key, key_bytes, flags);
}
int rtsIpcMemSetImportPid(const char* key, int32_t pids[], int count) {
  return FakeSetImportPid(key, pids, count);
}
int rtsIpcMemImportByKey(void** pointer, const char* key, uint64_t flags) {
  return FakeImportByKey(pointer, key, flags);
}
int rtsIpcMemClose(const char* key) { return FakeClose(key); }
int rtDeviceGetBareTgid(uint32_t* pid) { return FakeDeviceGetBareTgid(pid); }

}  // extern "C"
