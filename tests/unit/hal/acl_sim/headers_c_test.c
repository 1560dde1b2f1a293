/* The vendor headers compile as C11, each type and constant usable from C. */
#include "acl/acl.h"
#include "acl/acl_base.h"
#include "acl/acl_base_rt.h"
#include "acl/acl_rt.h"
#include "acl/error_codes/rt_error_codes.h"
#include "runtime/rt.h"
#include "runtime/rts/rts_mem.h"

/* A pointer to a function of C's own type for each side of the interface. */
aclError (*const acl_function)(void**, const char*, uint64_t) = &aclrtIpcMemImportByKey;
rtError_t (*const runtime_function)(void**, const char*, uint64_t) = &rtsIpcMemImportByKey;

_Static_assert(sizeof(aclrtIpcEventHandle) == ACL_IPC_EVENT_HANDLE_SIZE, "passed by value");
_Static_assert(sizeof(aclrtMemFabricHandle) == 128, "what a fabric handle is");
_Static_assert(ACL_ERROR_RT_CONTEXT_NULL == 107002, "the code of a thread without context");
