// What a pod's annotations ask for, checked.
#pragma once

#include <stdint.h>

#include <optional>
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

// Which group it is, on one node: groups of two namespaces are two, whatever they are called.
struct GroupId {
  std::string owner;  // the namespace whose group it is
  std::string name;

  std::string Text() const { return owner + "/" + name; }
  friend bool operator==(const GroupId&, const GroupId&) = default;
};

struct Membership {
  GroupId group;  // labels expanded
  Role role = Role::kBoth;

  friend bool operator==(const Membership&, const Membership&) = default;
};

// A namespace whose pods may join the pod's groups of its own namespace.
struct AllowedNamespace {
  std::string name;
  Role role = Role::kImporter;

  friend bool operator==(const AllowedNamespace&, const AllowedNamespace&) = default;
};

enum class RevokeMode {
  kNotify,  // importers are told, and nothing new is granted
  kRotate,  // the key is closed, which unmaps it everywhere, and those who still may get another
};

enum class InjectMode { kLibrary, kPreload };

struct SharePolicy {
  std::vector<Membership> groups;  // at least one, in the annotation's order; each group once
  std::vector<AllowedNamespace> allowed_namespaces;  // never the pod's own; each once
  std::optional<uint64_t> max_bytes;                 // that the pod may export; nullopt: not said
  RevokeMode revoke = RevokeMode::kNotify;
  InjectMode inject = InjectMode::kLibrary;

  // nullptr where the pod is not a member.
  const Membership* Find(const GroupId& group) const;
  // nullptr where no leave is given to that namespace.
  const AllowedNamespace* FindAllowed(std::string_view pod_namespace) const;

  friend bool operator==(const SharePolicy&, const SharePolicy&) = default;
};

// Reads, of a pod's annotations (each may have spaces around its parts):
//
//   npu-ipc.io/group             [namespace/]name[:role], ... (up to 32). A role is exporter,
//                                importer or both, which is the default. $(labels['KEY']) in the
//                                name stands for the value of that label of the pod
//   npu-ipc.io/allow-namespaces  namespace[:role], ... (up to 64), importer by default: whose pods
//                                may join those groups of the pod's that are of its own namespace
//   npu-ipc.io/max-bytes         a Kubernetes quantity of whole bytes, 16Gi; 0: it exports nothing
//   npu-ipc.io/revoke            notify (default) or rotate
//   npu-ipc.io/inject            library (default) or preload
//
// Pure; safe for concurrent use. Nothing that is wrong becomes a default, and a label's value never
// becomes more than a part of a name. kNotFound: no group is asked for; kInvalidArgument: an
// annotation has a value that is not accepted, or there is none of that name. Each message names
// the pod, the annotation and what is accepted; what it quotes of a value is printable ASCII, and
// cut where it is long.
Result<SharePolicy> ParsePolicy(const Pod& pod);

// The group that a program of a pod of `pod_namespace` means by `text`: "name", of its own
// namespace, or "namespace/name". nullopt where it is no group's name.
std::optional<GroupId> ParseGroupId(std::string_view text, std::string_view pod_namespace);

// `group` as pods of `pod_namespace` write it: "name" of their own, else "namespace/name".
std::string GroupText(const GroupId& group, std::string_view pod_namespace);

// The groups that `policy`, which is `pod`'s, names: "weights, other/logs".
std::string GroupNames(const Pod& pod, const SharePolicy& policy);

}  // namespace npu_ipc::pods
