// Checks of settings that the type of an option does not make.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc::config {

// kInvalidArgument names `key` and the path unless it begins with '/'.
Status CheckAbsolutePath(std::string_view key, const std::string& path);

// The first of `checks` that failed, or Ok.
Status FirstFailure(std::initializer_list<Status> checks);

}  // namespace npu_ipc::config
