/* Device ids and identity at the runtime's layer. */
#ifndef NPU_IPC_SIM_RUNTIME_DEV_H_
#define NPU_IPC_SIM_RUNTIME_DEV_H_

#include "runtime/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The PID that the driver knows this process by. -1 with success when the driver does not answer.
 */
RTS_API rtError_t rtDeviceGetBareTgid(uint32_t* pid);

/* From a logic id to the physical one, and back; 107001 for an id that this process does not see.
 */
RTS_API rtError_t rtGetDevicePhyIdByIndex(uint32_t devIndex, uint32_t* phyId);
RTS_API rtError_t rtGetDeviceIndexByPhyId(uint32_t phyId, uint32_t* devIndex);
RTS_API rtError_t rtGetLogicDevIdByUserDevId(const int32_t userDevId, int32_t* const logicDevId);

#ifdef __cplusplus
}
#endif

#endif
