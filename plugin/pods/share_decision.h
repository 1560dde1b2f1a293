// Whether two pods may share, by what both ask for and what the cluster allows.
#pragma once

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

#include "plugin/pods/cluster_policy.h"
#include "plugin/pods/policy.h"

namespace npu_ipc::pods {

// Why not. The order is of no meaning.
enum class RefusalCause {
  kNamespaceDenied,    // the cluster policy denies a namespace
  kCrossNamespaceOff,  // the cluster policy allows no sharing between namespaces
  kNotInGroup,         // a pod is not a member of the group
  kRoleDenied,         // a pod's own role in the group does not allow it
  kNotAllowed,         // the pod of the group's namespace does not allow the other's namespace
  kAllowedRoleDenied,  // it allows that namespace, but in another role
  kNoOwner,            // neither pod is of the group's namespace
  kByteLimit,          // max-bytes, or a cap of the cluster policy
  kRegionLimit,        // a cap of the cluster policy
};

// "namespace-denied" and so on: for counters.
std::string_view RefusalCauseName(RefusalCause cause);

struct ShareRefusal {
  RefusalCause cause = RefusalCause::kNotInGroup;
  std::string message;  // names the pods, the cause and the way out
};

// A pod with what it asks for: `policy` is ParsePolicy(pod). Refers to both.
struct PodSide {
  const Pod& pod;
  const SharePolicy& policy;
};

enum class ShareAction { kExport, kImport };

// All functions are pure and safe for concurrent use; nullopt means that it may.

// Whether `pod` may be in `group` as that at all: its own membership and role, and the cluster
// policy. For a group of another namespace that is half of it: CheckLeave() is the other.
std::optional<ShareRefusal> CheckMember(const GroupId& group, const PodSide& pod,
                                        ShareAction action, const ClusterPolicy& cluster);

// Whether `owner`, a pod of the group's namespace, lets pods of the namespace of `guest` into
// `group` as that. A guest must not export before one pod on the node does: it would take names
// away from the group's own. REQUIRES: owner.pod is of group.owner, and guest is not.
std::optional<ShareRefusal> CheckLeave(const GroupId& group, const PodSide& owner, const Pod& guest,
                                       ShareAction action);

// Whether `importer` may map what `exporter` shares in `group`. Both are members in a role that
// allows it, the cluster policy is not against it, and where they are of two namespaces, one of
// them is the group's own and its pod allows the other's namespace in that role. So two pods of
// namespace B never share through a group of A.
std::optional<ShareRefusal> CheckShare(const GroupId& group, const PodSide& exporter,
                                       const PodSide& importer, const ClusterPolicy& cluster);

// What is exported now.
struct ExportUsage {
  uint64_t bytes = 0;
  uint64_t regions = 0;
};

// Whether `pod` may export one more region of `bytes`, when it and its node have so much exported.
std::optional<ShareRefusal> CheckExport(const PodSide& pod, uint64_t bytes,
                                        const ExportUsage& of_pod, const ExportUsage& of_node,
                                        const ClusterPolicy& cluster);

}  // namespace npu_ipc::pods
