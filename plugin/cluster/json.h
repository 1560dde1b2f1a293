// The JSON type of this folder, named without its slow header. What calls into a Json includes
// <nlohmann/json.hpp> itself.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace npu_ipc::cluster {

using Json = nlohmann::json;

}  // namespace npu_ipc::cluster
