/*
 * AscendCL's runtime interface, declared anew from the facts of the vendor's acl/acl_rt.h (CANN,
 * torch-npu 2.14.0): names, values, layouts and signatures are the vendor's, so that a program
 * written for CANN compiles against it unchanged; tests/abi holds them against the vendor's own
 * header.
 *
 * Which of these functions the simulator builds, and what the others answer (207000 and a message
 * that names the function), is in hal/sim/libascendcl/README.md. All of them may be called from any
 * thread.
 */
#ifndef NPU_IPC_SIM_ACL_ACL_RT_H_
#define NPU_IPC_SIM_ACL_ACL_RT_H_

#include "acl/acl_base.h"
#include "acl/rt/callback.h"
#include "acl/rt/context.h"
#include "acl/rt/copy.h"
#include "acl/rt/device.h"
#include "acl/rt/event.h"
#include "acl/rt/fault.h"
#include "acl/rt/ipc_memory.h"
#include "acl/rt/memory.h"
#include "acl/rt/notify.h"
#include "acl/rt/peer_access.h"
#include "acl/rt/stream.h"
#include "acl/rt/system.h"
#include "acl/rt/virtual_memory.h"

#endif
