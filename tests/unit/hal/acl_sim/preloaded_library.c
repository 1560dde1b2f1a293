/* Stands between libascendcl.so and libruntime.so: says that it was reached, and passes the call
 * on. */
#include <dlfcn.h>
#include <stdio.h>

#include "runtime/dev.h"
#include "runtime/rts/rts_mem.h"

#define EXPORT __attribute__((visibility("default")))

/* RTLD_NEXT does not see a library that was loaded RTLD_LOCAL. */
static void* Next(const char* name) {
  printf("%s\n", name);
  fflush(stdout);
  return dlsym(dlopen("libruntime.so", RTLD_NOW | RTLD_NOLOAD), name);
}

#define NEXT(name) ((__typeof__(&name))Next(#name))

EXPORT rtError_t rtsIpcMemGetExportKey(const void* ptr, size_t size, char* key, uint32_t len,
                                       uint64_t flags) {
  return NEXT(rtsIpcMemGetExportKey)(ptr, size, key, len, flags);
}

EXPORT rtError_t rtsIpcMemSetImportPid(const char* key, int32_t pid[], int num) {
  return NEXT(rtsIpcMemSetImportPid)(key, pid, num);
}

EXPORT rtError_t rtsIpcMemImportByKey(void** ptr, const char* key, uint64_t flags) {
  return NEXT(rtsIpcMemImportByKey)(ptr, key, flags);
}

EXPORT rtError_t rtsIpcMemClose(const char* key) { return NEXT(rtsIpcMemClose)(key); }

EXPORT rtError_t rtDeviceGetBareTgid(uint32_t* pid) { return NEXT(rtDeviceGetBareTgid)(pid); }
