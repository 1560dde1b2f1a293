// Names of extended resources.
#pragma once

#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc::kubelet {

// As the kubelet checks a name when it is registered (IsExtendedResourceName), so that it fails
// where it was written. kInvalidArgument names `setting` and what is accepted.
Status CheckResourceName(std::string_view setting, std::string_view name);

}  // namespace npu_ipc::kubelet
