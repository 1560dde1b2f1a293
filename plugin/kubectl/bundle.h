// `kubectl npu bundle`: what somebody who helps needs to see, without secrets.
#pragma once

#include <ostream>
#include <string>

#include <nlohmann/json.hpp>

#include "plugin/kubectl/fleet.h"

namespace npu_ipc::kubectl {

// Writes a compressed tar archive, `file` or "npu-ipc-bundle-TIME.tar.gz" here: each broker's
// answers, the daemons' pods and logs, and what the API server has of the nodes. What cannot be had
// is named in its file "problems". Says on `out` what it wrote. kUnavailable where there is nothing
// to put in, or it cannot be written.
Status WriteBundle(const Fleet& fleet, const std::string& file, std::ostream& out);

// A pod as it goes into a bundle: values of environment variables are left out, and annotations
// other than npu-ipc's.
nlohmann::json RedactPod(nlohmann::json pod);

// A text, of a log, without what looks like an export key or a token.
std::string RedactText(const std::string& text);

}  // namespace npu_ipc::kubectl
