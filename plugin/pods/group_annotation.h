// The values of npu-ipc.io/group and npu-ipc.io/allow-namespaces.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "plugin/pods/policy.h"

namespace npu_ipc::pods {

std::optional<Role> ParseRole(std::string_view text);

// kInvalidArgument names the entry, what is wrong with it, and what is accepted; the caller adds
// the pod and the annotation. Pure.
Result<std::vector<Membership>> ParseGroups(std::string_view value, const Pod& pod);
Result<std::vector<AllowedNamespace>> ParseAllowedNamespaces(std::string_view value,
                                                             const Pod& pod);

}  // namespace npu_ipc::pods
