// The checks that the AscendCL layer makes itself.
#pragma once

#include <string>

#include "hal/sim/libruntime/interface.h"

namespace npu_ipc::sim {

inline aclError InvalidArgument(const char* function, const std::string& what) {
  return rt::Fail(ACL_ERROR_INVALID_PARAM, (std::string(function) + ": " + what).c_str());
}

inline aclError NotBuiltWith(const char* function, const std::string& what) {
  return rt::Fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                  (std::string(function) + " is not supported by the simulator " + what).c_str());
}

// A wait's milliseconds: -1 and 0 for ever.
inline bool IsTimeout(int32_t timeout) { return timeout >= -1; }

inline aclError InvalidTimeout(const char* function, int32_t timeout) {
  return rt::Fail(
      ACL_ERROR_RT_PARAM_INVALID,
      (std::string(function) + ": a timeout is -1 or more, not " + std::to_string(timeout))
          .c_str());
}

}  // namespace npu_ipc::sim

// Returns 100000 from the calling function when `pointer` is null.
#define REQUIRE_NOT_NULL(pointer)                                            \
  do {                                                                       \
    if ((pointer) == nullptr) {                                              \
      return ::npu_ipc::sim::InvalidArgument(__func__, #pointer " is null"); \
    }                                                                        \
  } while (false)
