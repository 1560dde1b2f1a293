#include "plugin/pods/share_decision.h"

#include "plugin/config/quantity.h"

namespace npu_ipc::pods {
namespace {

bool Allows(Role role, ShareAction action) {
  return action == ShareAction::kExport ? MayExport(role) : MayImport(role);
}

std::string NeededRole(ShareAction action) {
  return action == ShareAction::kExport ? "exporter" : "importer";
}

std::string NameFor(const Pod& pod, const GroupId& group) {
  return "group '" + GroupText(group, pod.pod_namespace) + "'";
}

ShareRefusal NotInGroup(const GroupId& group, const PodSide& side) {
  return {RefusalCause::kNotInGroup,
          "pod " + FullName(side.pod) + " is not in " + NameFor(side.pod, group) +
              "; its npu-ipc.io/group annotation names " + GroupNames(side.pod, side.policy)};
}

ShareRefusal Denied(const std::string& pod_namespace) {
  return {RefusalCause::kNamespaceDenied, "the cluster policy denies sharing to namespace " +
                                              pod_namespace + " (policy.deniedNamespaces)"};
}

std::optional<ShareRefusal> CheckNamespaces(const GroupId& group, const Pod& pod,
                                            const ClusterPolicy& cluster) {
  for (const std::string& name : {pod.pod_namespace, group.owner}) {
    if (cluster.Denies(name)) return Denied(name);
  }
  if (group.owner == pod.pod_namespace || cluster.cross_namespace) return std::nullopt;
  return ShareRefusal{RefusalCause::kCrossNamespaceOff,
                      "pod " + FullName(pod) + " asks for " + NameFor(pod, group) +
                          " of another namespace, and the cluster policy allows no sharing between "
                          "namespaces (policy.crossNamespace)"};
}

std::optional<ShareRefusal> CheckRole(const GroupId& group, const PodSide& side,
                                      ShareAction action) {
  const Membership* const membership = side.policy.Find(group);
  if (membership == nullptr) return NotInGroup(group, side);
  if (Allows(membership->role, action)) return std::nullopt;
  return ShareRefusal{
      RefusalCause::kRoleDenied,
      "pod " + FullName(side.pod) + " is only " + std::string(RoleName(membership->role)) + " in " +
          NameFor(side.pod, group) + "; its npu-ipc.io/group annotation needs the role " +
          NeededRole(action) + " or both"};
}

// Whether `added` to `used` is more than `cap`.
bool Exceeds(uint64_t used, uint64_t added, uint64_t cap) {
  return used > cap || added > cap - used;
}

// A limit on what is exported, and what the limit is of.
struct ExportCap {
  RefusalCause cause;
  uint64_t used;
  uint64_t added;
  uint64_t cap;
  std::string owner;    // "the node"
  std::string setting;  // "policy.maxBytesPerNode"
};

ShareRefusal Over(const ExportCap& cap) {
  const bool bytes = cap.cause == RefusalCause::kByteLimit;
  const auto amount = [bytes](uint64_t number) {
    return bytes ? config::FormatQuantity(number) : std::to_string(number);
  };
  return {cap.cause, cap.owner + " may have " + amount(cap.cap) + (bytes ? " bytes" : " regions") +
                         " exported (" + cap.setting + "), has " + amount(cap.used) +
                         " and asks for " + amount(cap.added) +
                         " more; withdraw what is not needed, or raise the limit"};
}

}  // namespace

std::string_view RefusalCauseName(RefusalCause cause) {
  switch (cause) {
    case RefusalCause::kNamespaceDenied:
      return "namespace-denied";
    case RefusalCause::kCrossNamespaceOff:
      return "cross-namespace-off";
    case RefusalCause::kNotInGroup:
      return "not-in-group";
    case RefusalCause::kRoleDenied:
      return "role-denied";
    case RefusalCause::kNotAllowed:
      return "namespace-not-allowed";
    case RefusalCause::kAllowedRoleDenied:
      return "allowed-role-denied";
    case RefusalCause::kNoOwner:
      return "no-owner";
    case RefusalCause::kByteLimit:
      return "byte-limit";
    case RefusalCause::kRegionLimit:
      return "region-limit";
  }
  return "";
}

std::optional<ShareRefusal> CheckMember(const GroupId& group, const PodSide& pod,
                                        ShareAction action, const ClusterPolicy& cluster) {
  if (auto refusal = CheckRole(group, pod, action)) return refusal;
  return CheckNamespaces(group, pod.pod, cluster);
}

std::optional<ShareRefusal> CheckLeave(const GroupId& group, const PodSide& owner, const Pod& guest,
                                       ShareAction action) {
  if (owner.policy.Find(group) == nullptr) return NotInGroup(group, owner);
  const AllowedNamespace* const allowed = owner.policy.FindAllowed(guest.pod_namespace);
  if (allowed == nullptr) {
    return ShareRefusal{RefusalCause::kNotAllowed,
                        "pod " + FullName(owner.pod) + " does not let namespace " +
                            guest.pod_namespace + " into " + NameFor(owner.pod, group) +
                            "; its npu-ipc.io/allow-namespaces annotation needs '" +
                            guest.pod_namespace + ":" + NeededRole(action) + "'"};
  }
  if (Allows(allowed->role, action)) return std::nullopt;
  return ShareRefusal{RefusalCause::kAllowedRoleDenied,
                      "pod " + FullName(owner.pod) + " lets namespace " + guest.pod_namespace +
                          " into " + NameFor(owner.pod, group) + " only as " +
                          std::string(RoleName(allowed->role)) +
                          "; its npu-ipc.io/allow-namespaces annotation needs the role " +
                          NeededRole(action) + " or both"};
}

std::optional<ShareRefusal> CheckShare(const GroupId& group, const PodSide& exporter,
                                       const PodSide& importer, const ClusterPolicy& cluster) {
  if (auto refusal = CheckMember(group, exporter, ShareAction::kExport, cluster)) return refusal;
  if (auto refusal = CheckMember(group, importer, ShareAction::kImport, cluster)) return refusal;
  const bool exporter_owns = exporter.pod.pod_namespace == group.owner;
  const bool importer_owns = importer.pod.pod_namespace == group.owner;
  if (exporter_owns && importer_owns) return std::nullopt;
  if (exporter_owns) return CheckLeave(group, exporter, importer.pod, ShareAction::kImport);
  if (importer_owns) return CheckLeave(group, importer, exporter.pod, ShareAction::kExport);
  return ShareRefusal{RefusalCause::kNoOwner,
                      "neither pod " + FullName(exporter.pod) + " nor pod " +
                          FullName(importer.pod) + " is of namespace " + group.owner +
                          ", whose group '" + group.name +
                          "' is; let them share through a group of the namespace of one of them"};
}

std::optional<ShareRefusal> CheckExport(const PodSide& pod, uint64_t bytes,
                                        const ExportUsage& of_pod, const ExportUsage& of_node,
                                        const ClusterPolicy& cluster) {
  const std::string name = "pod " + FullName(pod.pod);
  const auto regions = [](int64_t count) { return static_cast<uint64_t>(count); };
  const ExportCap caps[] = {
      {RefusalCause::kByteLimit, of_pod.bytes, bytes,
       pod.policy.max_bytes.value_or(config::kUnlimitedBytes), name,
       "its annotation npu-ipc.io/max-bytes"},
      {RefusalCause::kByteLimit, of_pod.bytes, bytes, cluster.max_bytes_per_pod, name,
       "policy.maxBytesPerPod"},
      {RefusalCause::kByteLimit, of_node.bytes, bytes, cluster.max_bytes_per_node, "the node",
       "policy.maxBytesPerNode"},
      {RefusalCause::kRegionLimit, of_pod.regions, 1, regions(cluster.max_regions_per_pod), name,
       "policy.maxRegionsPerPod"},
      {RefusalCause::kRegionLimit, of_node.regions, 1, regions(cluster.max_regions_per_node),
       "the node", "policy.maxRegionsPerNode"},
  };
  for (const ExportCap& cap : caps) {
    if (Exceeds(cap.used, cap.added, cap.cap)) return Over(cap);
  }
  return std::nullopt;
}

}  // namespace npu_ipc::pods
