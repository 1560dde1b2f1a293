/* Everything that the simulator's libruntime.so offers to programs. */
#ifndef NPU_IPC_SIM_RUNTIME_RT_H_
#define NPU_IPC_SIM_RUNTIME_RT_H_

#include "runtime/base.h"
#include "runtime/dev.h"
#include "runtime/mem.h"
#include "runtime/rt_external_device.h"

#endif
