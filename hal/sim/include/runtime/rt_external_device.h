/*
 * Peer access by physical id, and raw device information. The physical peer need not be visible to
 * this process: that is how two containers with a device each reach one another.
 */
#ifndef NPU_IPC_SIM_RUNTIME_RT_EXTERNAL_DEVICE_H_
#define NPU_IPC_SIM_RUNTIME_RT_EXTERNAL_DEVICE_H_

#include "runtime/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Requests the direction from the own device `devIdDes` (user id) to the physical device
 * `phyIdSrc`. It works when the other direction is requested too, by any process. 207001 when 32
 * processes have requested this direction.
 */
RTS_API rtError_t rtEnableP2P(uint32_t devIdDes, uint32_t phyIdSrc, uint32_t flag);
RTS_API rtError_t rtDisableP2P(uint32_t devIdDes, uint32_t phyIdSrc);
/* `status`: 1 when both directions are requested. */
RTS_API rtError_t rtGetP2PStatus(uint32_t devIdDes, uint32_t phyIdSrc, uint32_t* status);

/* Not built yet: 207000. */
RTS_API rtError_t rtGetDeviceInfo(uint32_t deviceId, int32_t moduleType, int32_t infoType,
                                  int64_t* val);
RTS_API rtError_t rtGetPhyDeviceInfo(uint32_t phyId, int32_t moduleType, int32_t infoType,
                                     int64_t* val);
RTS_API rtError_t rtGetPairPhyDevicesInfo(uint32_t devId, uint32_t otherDevId, int32_t infoType,
                                          int64_t* val);

/* The server's index in its super pod, out of a super-pod device id (bits 31 to 22). */
RTS_API rtError_t rtGetServerIDBySDID(uint32_t sdid, uint32_t* srvId);

#ifdef __cplusplus
}
#endif

#endif
