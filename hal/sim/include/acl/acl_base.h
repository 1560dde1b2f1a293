/* Base types of AscendCL and the runtime's error codes. */
#ifndef NPU_IPC_SIM_ACL_ACL_BASE_H_
#define NPU_IPC_SIM_ACL_ACL_BASE_H_

#include "acl/acl_base_rt.h"
#include "acl/error_codes/rt_error_codes.h"

#endif
