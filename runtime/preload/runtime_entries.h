// The five entries of libruntime.so that this library stands before, and the ones behind it.
//
// AscendCL's aclrtIpcMem... and aclrtDeviceGetBareTgid call them through the PLT, so a program
// passes here however it found AscendCL's functions: linked, or by dlsym on a handle (runtime:
// memory.cpp).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "hal/acl/acl_ipc.h"

#define NPU_IPC_PRELOAD_ENTRY __attribute__((visibility("default")))

extern "C" {
// runtime: rts_mem.h
NPU_IPC_PRELOAD_ENTRY int rtsIpcMemGetExportKey(const void* ptr, size_t size, char* key,
                                                uint32_t len, uint64_t flags);
NPU_IPC_PRELOAD_ENTRY int rtsIpcMemSetImportPid(const char* key, int32_t pid[], int num);
NPU_IPC_PRELOAD_ENTRY int rtsIpcMemImportByKey(void** ptr, const char* key, uint64_t flags);
NPU_IPC_PRELOAD_ENTRY int rtsIpcMemClose(const char* key);
// runtime: dev.h
NPU_IPC_PRELOAD_ENTRY int rtDeviceGetBareTgid(uint32_t* pid);
}

namespace npu_ipc::preload {

// Each calls the next definition behind this library's, which is looked for every time: the program
// may unload the vendor's libraries and load them again. 207000 where there is none. The host's
// errno is what that definition makes of it.
hal::acl::Error NextGetExportKey(const void* pointer, size_t bytes, char* key, uint32_t key_bytes,
                                 uint64_t flags);
hal::acl::Error NextSetImportPid(const char* key, int32_t* pids, int count);
hal::acl::Error NextImportByKey(void** pointer, const char* key, uint64_t flags);
hal::acl::Error NextClose(const char* key);
hal::acl::Error NextDeviceGetBareTgid(uint32_t* pid);

}  // namespace npu_ipc::preload
