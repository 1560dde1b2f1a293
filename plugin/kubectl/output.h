// Documents as kubectl prints them.
#pragma once

#include <ostream>

#include <nlohmann/json.hpp>

#include "plugin/kubectl/options.h"

namespace npu_ipc::kubectl {

// JSON with four spaces, or YAML. REQUIRES: `format` is one of the two.
void PrintDocument(const nlohmann::json& document, Format format, std::ostream& out);

}  // namespace npu_ipc::kubectl
