/* IPC memory by the runtime's older names; rts/rts_mem.h has those that AscendCL uses. */
#ifndef NPU_IPC_SIM_RUNTIME_MEM_H_
#define NPU_IPC_SIM_RUNTIME_MEM_H_

#include "runtime/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exports with the whitelist on: rtsIpcMemGetExportKey with flags 0. */
RTS_API rtError_t rtIpcSetMemoryName(const void* ptr, uint64_t byteCount, char* name, uint32_t len);
/* The creator's end of a key. */
RTS_API rtError_t rtIpcDestroyMemoryName(const char* name);
/* rtsIpcMemImportByKey with flags 0. */
RTS_API rtError_t rtIpcOpenMemory(void** ptr, const char* name);
/* Gives back one open of the import that starts at `ptr`. */
RTS_API rtError_t rtIpcCloseMemory(const void* ptr);
/* Whitelists 1 to 31 host PIDs. */
RTS_API rtError_t rtSetIpcMemPid(const char* name, int32_t pid[], int num);

#ifdef __cplusplus
}
#endif

#endif
