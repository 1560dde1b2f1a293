/*
 * IPC memory at the layer below AscendCL: aclrtIpcMem... calls these through the PLT, so a
 * preloaded library that defines them is reached by every program.
 */
#ifndef NPU_IPC_SIM_RUNTIME_RTS_RTS_MEM_H_
#define NPU_IPC_SIM_RUNTIME_RTS_RTS_MEM_H_

#include "runtime/base.h"

#ifdef __cplusplus
extern "C" {
#endif

RTS_API rtError_t rtsIpcMemGetExportKey(const void* ptr, size_t size, char* key, uint32_t len,
                                        uint64_t flags);
RTS_API rtError_t rtsIpcMemSetImportPid(const char* key, int32_t pid[], int num);
RTS_API rtError_t rtsIpcMemImportByKey(void** ptr, const char* key, uint64_t flags);
RTS_API rtError_t rtsIpcMemClose(const char* key);

#ifdef __cplusplus
}
#endif

#endif
