// A daemon's config file as JSON: strictly read.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "hal/base/result.h"

namespace npu_ipc::config {

// The object that the file holds. kInvalidArgument names the file and what is wrong with it: text
// that is not JSON, another value than an object, a key that one object has twice (JSON itself
// would take the last silently). Where it cannot be read, as ReadFile().
Result<nlohmann::json> ReadConfigFile(const std::string& path);

}  // namespace npu_ipc::config
