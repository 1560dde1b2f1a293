#include <string.h>

#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidArgument;
using npu_ipc::sim::NotBuiltWith;

namespace {

// Which module memory is accounted to is nobody's concern here; the other attributes change what is
// allocated, and are not built.
aclError CheckConfig(const char* function, const aclrtMallocConfig* cfg) {
  if (cfg == nullptr || cfg->numAttrs == 0) return ACL_SUCCESS;
  if (cfg->attrs == nullptr) return InvalidArgument(function, "cfg->attrs is null");
  for (size_t i = 0; i < cfg->numAttrs; ++i) {
    int attribute = 0;  // a C program may have any number there
    static_assert(sizeof(attribute) == sizeof(cfg->attrs[i].attr));
    memcpy(&attribute, &cfg->attrs[i].attr, sizeof(attribute));
    if (attribute != ACL_RT_MEM_ATTR_MODULE_ID && attribute != ACL_RT_MEM_ATTR_RSV) {
      return NotBuiltWith(function, "with attribute " + std::to_string(attribute));
    }
  }
  return ACL_SUCCESS;
}

bool IsHighBandwidth(aclrtMemAttr attr) {
  switch (attr) {
    case ACL_DDR_MEM:
    case ACL_DDR_MEM_HUGE:
    case ACL_DDR_MEM_NORMAL:
    case ACL_DDR_MEM_P2P_HUGE:
    case ACL_DDR_MEM_P2P_NORMAL:
      return false;
    default:
      return true;
  }
}

}  // namespace

aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
  REQUIRE_NOT_NULL(devPtr);
  if (size == 0) return InvalidArgument(__func__, "size is 0");
  return rt::Malloc(size, policy, devPtr);
}

aclError aclrtMallocAlign32(void** devPtr, size_t size, aclrtMemMallocPolicy policy) {
  REQUIRE_NOT_NULL(devPtr);
  if (size == 0) return InvalidArgument(__func__, "size is 0");
  return rt::Malloc(size, policy, devPtr);
}

aclError aclrtMallocWithCfg(void** devPtr, size_t size, aclrtMemMallocPolicy policy,
                            aclrtMallocConfig* cfg) {
  REQUIRE_NOT_NULL(devPtr);
  if (size == 0) return InvalidArgument(__func__, "size is 0");
  if (const aclError error = CheckConfig(__func__, cfg); error != ACL_SUCCESS) return error;
  return rt::Malloc(size, policy, devPtr);
}

aclError aclrtFree(void* devPtr) {
  REQUIRE_NOT_NULL(devPtr);
  return rt::Free(devPtr);
}

aclError aclrtMallocHost(void** hostPtr, size_t size) {
  REQUIRE_NOT_NULL(hostPtr);
  if (size == 0) return InvalidArgument(__func__, "size is 0");
  return rt::MallocHost(size, hostPtr);
}

aclError aclrtMallocHostWithCfg(void** ptr, uint64_t size, aclrtMallocConfig* cfg) {
  REQUIRE_NOT_NULL(ptr);
  if (size == 0) return InvalidArgument(__func__, "size is 0");
  if (const aclError error = CheckConfig(__func__, cfg); error != ACL_SUCCESS) return error;
  return rt::MallocHost(size, ptr);
}

aclError aclrtFreeHost(void* hostPtr) {
  REQUIRE_NOT_NULL(hostPtr);
  return rt::FreeHost(hostPtr);
}

aclError aclrtHostRegister(void* ptr, uint64_t size, aclrtHostRegisterType type, void** devPtr) {
  REQUIRE_NOT_NULL(ptr);
  REQUIRE_NOT_NULL(devPtr);
  if (type != ACL_HOST_REGISTER_MAPPED) {
    return NotBuiltWith(__func__, "with type " + std::to_string(static_cast<int>(type)));
  }
  return rt::RegisterHost(ptr, size, devPtr);
}

aclError aclrtHostRegisterV2(void* ptr, uint64_t size, uint32_t flag) {
  REQUIRE_NOT_NULL(ptr);
  if ((flag & ~(ACL_HOST_REG_MAPPED | ACL_HOST_REG_PINNED)) != 0) {
    return NotBuiltWith(__func__, "with flag " + std::to_string(flag));
  }
  void* device_pointer = nullptr;
  return rt::RegisterHost(ptr, size, &device_pointer);
}

aclError aclrtHostUnregister(void* ptr) {
  REQUIRE_NOT_NULL(ptr);
  return rt::UnregisterHost(ptr);
}

aclError aclrtGetMemInfo(aclrtMemAttr attr, size_t* free, size_t* total) {
  REQUIRE_NOT_NULL(free);
  REQUIRE_NOT_NULL(total);
  const aclError error = rt::MemoryInfo(free, total);
  if (error == ACL_SUCCESS && !IsHighBandwidth(attr)) {
    *free = 0;
    *total = 0;
  }
  return error;
}

aclError aclrtPointerGetAttributes(const void* ptr, aclrtPtrAttributes* attributes) {
  REQUIRE_NOT_NULL(ptr);
  REQUIRE_NOT_NULL(attributes);
  return rt::PointerAttributes(ptr, attributes);
}
