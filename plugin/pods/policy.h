// What a pod's annotations ask for, checked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plugin/pods/pod.h"

namespace npu_ipc::pods {

inline constexpr std::string_view kAnnotationPrefix = "npu-ipc.io/";
inline constexpr std::string_view kGroupAnnotation = "npu-ipc.io/group";

enum class Role { kExporter, kImporter, kBoth };

std::string_view RoleName(Role role);
bool MayExport(Role role);
bool MayImport(Role role);

struct Membership {
  std::string group;  // of the pod's own namespace
  Role role = Role::kBoth;

  friend bool operator==(const Membership&, const Membership&) = default;
};

struct SharePolicy {
  std::vector<Membership> groups;  // at least one, in the annotation's order

  // nullptr where the pod is not a member.
  const Membership* Find(std::string_view group) const;
};

// Reads `npu-ipc.io/group: name[:role][, ...]` (role: exporter, importer, or both, which is the
// default). Pure; safe for concurrent use.
//
// Nothing that is wrong becomes a default. kNotFound: no group is asked for; kInvalidArgument: an
// annotation has a value that is not accepted, or is unknown; kUnimplemented: it asks for what is
// not supported yet (another namespace's group, label expansion, allow-namespaces, max-bytes,
// revoke, inject: preload). Each message names the pod, the annotation and what is accepted.
Result<SharePolicy> ParsePolicy(const Pod& pod);

}  // namespace npu_ipc::pods
