// The vendor headers compile as C++, and their functions have C linkage and the vendor's types.
#include <type_traits>

#include "acl/acl.h"
#include "runtime/rt.h"
#include "runtime/rts/rts_mem.h"

static_assert(
    std::is_same_v<decltype(&aclrtIpcMemImportByKey), aclError (*)(void**, const char*, uint64_t)>);
static_assert(
    std::is_same_v<decltype(&rtsIpcMemImportByKey), rtError_t (*)(void**, const char*, uint64_t)>);
static_assert(sizeof(aclrtErrorInfo) == 8 + sizeof(aclrtErrorInfoDetail));
