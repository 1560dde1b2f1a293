/* AscendCL, as far as the simulator offers it: the runtime. Operators and models are not offered.
 */
#ifndef NPU_IPC_SIM_ACL_ACL_H_
#define NPU_IPC_SIM_ACL_ACL_H_

#include "acl/acl_rt.h"

#endif
