/* A program as the vendor's examples are: C, one include, linked with -lascendcl and nothing
 * else. */
#include <stdio.h>
#include <string.h>

#include "acl/acl.h"

#define CHECK(call)                                                       \
  do {                                                                    \
    aclError error = (call);                                              \
    if (error != ACL_SUCCESS) {                                           \
      fprintf(stderr, "%s: %d %s\n", #call, error, aclGetRecentErrMsg()); \
      return 1;                                                           \
    }                                                                     \
  } while (0)

int main(void) {
  enum { kBytes = 1 << 21 };
  static char in[kBytes];
  static char out[kBytes];
  void* memory = NULL;
  aclrtStream stream = NULL;
  char key[65];
  int32_t pid = -1;
  memset(in, 42, sizeof(in));
  CHECK(aclInit(NULL));
  CHECK(aclrtSetDevice(0));
  CHECK(aclrtCreateStream(&stream));
  CHECK(aclrtMalloc(&memory, kBytes, ACL_MEM_MALLOC_HUGE_FIRST));
  CHECK(aclrtMemcpyAsync(memory, kBytes, in, kBytes, ACL_MEMCPY_HOST_TO_DEVICE, stream));
  CHECK(aclrtMemcpyAsync(out, kBytes, memory, kBytes, ACL_MEMCPY_DEVICE_TO_HOST, stream));
  CHECK(aclrtSynchronizeStream(stream));
  if (memcmp(in, out, sizeof(in)) != 0) return 2;
  CHECK(aclrtDeviceGetBareTgid(&pid));
  CHECK(aclrtIpcMemGetExportKey(memory, kBytes, key, sizeof(key),
                                ACL_RT_IPC_MEM_EXPORT_FLAG_DEFAULT));
  CHECK(aclrtIpcMemClose(key));
  CHECK(aclrtFree(memory));
  CHECK(aclrtDestroyStream(stream));
  CHECK(aclrtResetDevice(0));
  CHECK(aclFinalize());
  printf("done\n");
  return 0;
}
