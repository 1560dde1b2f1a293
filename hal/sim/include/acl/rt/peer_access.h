/*
 * Access from one device to another's memory, one direction a call. Device ids are user ids.
 */
#ifndef NPU_IPC_SIM_ACL_RT_PEER_ACCESS_H_
#define NPU_IPC_SIM_ACL_RT_PEER_ACCESS_H_

#include "acl/acl_base.h"

#ifdef __cplusplus
extern "C" {
#endif

ACL_FUNC_VISIBILITY aclError aclrtDeviceCanAccessPeer(int32_t* canAccessPeer, int32_t deviceId,
                                                      int32_t peerDeviceId);
/* From the current context's device. The same device is 100000, `flags` other than 0 is 200006. */
ACL_FUNC_VISIBILITY aclError aclrtDeviceEnablePeerAccess(int32_t peerDeviceId, uint32_t flags);
ACL_FUNC_VISIBILITY aclError aclrtDeviceDisablePeerAccess(int32_t peerDeviceId);
/* `status`: 1 when enabled. */
ACL_FUNC_VISIBILITY aclError aclrtDevicePeerAccessStatus(int32_t deviceId, int32_t peerDeviceId,
                                                         int32_t* status);
ACL_FUNC_VISIBILITY aclError aclrtMemP2PMap(void* devPtr, size_t size, int32_t dstDevId,
                                            uint64_t flags);

#ifdef __cplusplus
}
#endif

#endif
