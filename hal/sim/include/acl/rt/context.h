/*
 * Contexts: one is current for each thread. aclrtSetDevice makes the device's default context
 * current; a thread that has none gets 107002 from whatever needs one.
 */
#ifndef NPU_IPC_SIM_ACL_RT_CONTEXT_H_
#define NPU_IPC_SIM_ACL_RT_CONTEXT_H_

#include "acl/acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Also makes the new context the calling thread's. */
ACL_FUNC_VISIBILITY aclError aclrtCreateContext(aclrtContext* context, int32_t deviceId);
/* Not for a default context. A destroyed one is refused wherever it is passed, never a crash. */
ACL_FUNC_VISIBILITY aclError aclrtDestroyContext(aclrtContext context);
ACL_FUNC_VISIBILITY aclError aclrtSetCurrentContext(aclrtContext context);
ACL_FUNC_VISIBILITY aclError aclrtGetCurrentContext(aclrtContext* context);
ACL_FUNC_VISIBILITY aclError aclrtGetPrimaryCtxState(int32_t deviceId, uint32_t* flags,
                                                     int32_t* active);
ACL_FUNC_VISIBILITY aclError aclrtCtxSetSysParamOpt(aclSysParamOpt opt, int64_t value);

#ifdef __cplusplus
}
#endif

#endif
