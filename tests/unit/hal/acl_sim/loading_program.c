/* A program that loads libascendcl.so itself, out of everybody's sight, as frameworks do. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#include "acl/acl.h"

int main(void) {
  void* library = dlopen("libascendcl.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
#define LOAD(name) __typeof__(&name) p_##name = (__typeof__(&name))dlsym(library, #name)
  LOAD(aclrtSetDevice);
  LOAD(aclrtMalloc);
  LOAD(aclrtIpcMemGetExportKey);
  LOAD(aclrtIpcMemSetImportPid);
  LOAD(aclrtIpcMemImportByKey);
  LOAD(aclrtIpcMemClose);
  LOAD(aclrtDeviceGetBareTgid);
  void* memory = NULL;
  void* imported = NULL;
  char key[65];
  int32_t pid = -1;
  if (p_aclrtSetDevice(0) != ACL_SUCCESS) return 2;
  if (p_aclrtMalloc(&memory, 1 << 21, ACL_MEM_MALLOC_HUGE_FIRST) != ACL_SUCCESS) return 3;
  if (p_aclrtDeviceGetBareTgid(&pid) != ACL_SUCCESS || pid <= 0) return 4;
  if (p_aclrtIpcMemGetExportKey(memory, 1 << 21, key, sizeof(key), 0) != ACL_SUCCESS) return 5;
  pid = 1;
  if (p_aclrtIpcMemSetImportPid(key, &pid, 1) != ACL_SUCCESS) return 6;
  /* Its own key: the driver never lists the creator. */
  if (p_aclrtIpcMemImportByKey(&imported, key, 0) == ACL_SUCCESS) return 7;
  if (p_aclrtIpcMemClose(key) != ACL_SUCCESS) return 8;
  printf("done\n");
  return 0;
}
