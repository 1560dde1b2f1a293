/*
 * The runtime library's own interface (libruntime.so), as far as programs and libraries above it
 * use it directly. Declared anew from the facts of the vendor's public headers (hicann/runtime,
 * pkg_inc/runtime).
 */
#ifndef NPU_IPC_SIM_RUNTIME_BASE_H_
#define NPU_IPC_SIM_RUNTIME_BASE_H_

#include <stddef.h>
#include <stdint.h>

/* The library defines it where it implements what is declared here; programs do not. */
#ifndef RTS_API
#define RTS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* 0, or a code of acl/error_codes/rt_error_codes.h. */
typedef int32_t rtError_t;
static const int32_t RT_ERROR_NONE = 0;

/* Adds PIDs of another server of a super pod to a key's whitelist. Not built yet: 207000. */
RTS_API rtError_t rtSetIpcMemorySuperPodPid(const char* name, uint32_t sdid, int32_t pid[],
                                            int32_t num);

#ifdef __cplusplus
}
#endif

#endif
