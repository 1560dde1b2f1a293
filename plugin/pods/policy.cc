#include "plugin/pods/policy.h"

#include <algorithm>
#include <utility>

#include "plugin/config/quantity.h"
#include "plugin/pods/group_annotation.h"
#include "plugin/pods/names.h"

namespace npu_ipc::pods {
namespace {

Status NotAccepted(std::string_view value, std::string_view accepted) {
  return {StatusCode::kInvalidArgument,
          "value " + Quoted(value) + "; accepted: " + std::string(accepted)};
}

template <class T>
Status Store(Result<T> parsed, T* value) {
  if (!parsed.ok()) return parsed.status();
  *value = std::move(parsed).value();
  return Status::Ok();
}

Status TakeGroups(std::string_view value, const Pod& pod, SharePolicy* policy) {
  return Store(ParseGroups(value, pod), &policy->groups);
}

Status TakeAllowedNamespaces(std::string_view value, const Pod& pod, SharePolicy* policy) {
  return Store(ParseAllowedNamespaces(value, pod), &policy->allowed_namespaces);
}

Status TakeMaxBytes(std::string_view value, const Pod&, SharePolicy* policy) {
  policy->max_bytes = config::ParseQuantity(Trimmed(value));
  return policy->max_bytes ? Status::Ok() : NotAccepted(value, config::kQuantityForm);
}

Status TakeRevoke(std::string_view value, const Pod&, SharePolicy* policy) {
  const std::string_view mode = Trimmed(value);
  if (mode != "notify" && mode != "rotate") return NotAccepted(value, "notify or rotate");
  policy->revoke = mode == "rotate" ? RevokeMode::kRotate : RevokeMode::kNotify;
  return Status::Ok();
}

Status TakeInject(std::string_view value, const Pod&, SharePolicy* policy) {
  const std::string_view mode = Trimmed(value);
  if (mode != "library" && mode != "preload") return NotAccepted(value, "library or preload");
  policy->inject = mode == "preload" ? InjectMode::kPreload : InjectMode::kLibrary;
  return Status::Ok();
}

struct Annotation {
  std::string_view name;  // after the prefix
  Status (*take)(std::string_view value, const Pod& pod, SharePolicy* policy);
};

constexpr Annotation kAnnotations[] = {{"group", TakeGroups},
                                       {"allow-namespaces", TakeAllowedNamespaces},
                                       {"max-bytes", TakeMaxBytes},
                                       {"revoke", TakeRevoke},
                                       {"inject", TakeInject}};

Status TakeAnnotation(std::string_view name, std::string_view value, const Pod& pod,
                      SharePolicy* policy) {
  const auto* const known = std::find_if(std::begin(kAnnotations), std::end(kAnnotations),
                                         [&](const Annotation& a) { return a.name == name; });
  if (known != std::end(kAnnotations)) return known->take(value, pod, policy);
  return {StatusCode::kInvalidArgument,
          "there is no such annotation; there are group, allow-namespaces, max-bytes, revoke and "
          "inject"};
}

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kExporter:
      return "exporter";
    case Role::kImporter:
      return "importer";
    case Role::kBoth:
      return "both";
  }
  return "";
}

bool MayExport(Role role) { return role != Role::kImporter; }
bool MayImport(Role role) { return role != Role::kExporter; }

const Membership* SharePolicy::Find(const GroupId& group) const {
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [&](const Membership& m) { return m.group == group; });
  return found == groups.end() ? nullptr : &*found;
}

const AllowedNamespace* SharePolicy::FindAllowed(std::string_view pod_namespace) const {
  const auto found =
      std::find_if(allowed_namespaces.begin(), allowed_namespaces.end(),
                   [&](const AllowedNamespace& a) { return a.name == pod_namespace; });
  return found == allowed_namespaces.end() ? nullptr : &*found;
}

Result<SharePolicy> ParsePolicy(const Pod& pod) {
  SharePolicy policy;
  for (auto it = pod.annotations.lower_bound(std::string(kAnnotationPrefix));
       it != pod.annotations.end() && it->first.starts_with(kAnnotationPrefix); ++it) {
    const std::string_view name = std::string_view(it->first).substr(kAnnotationPrefix.size());
    if (Status taken = TakeAnnotation(name, it->second, pod, &policy); !taken.ok()) {
      return taken.WithContext("pod " + FullName(pod) + ", annotation " + it->first);
    }
  }
  if (policy.groups.empty()) {
    return Status(StatusCode::kNotFound,
                  "pod " + FullName(pod) + " has no npu-ipc.io/group annotation; add one (" +
                      std::string(kGroupAnnotation) + ": NAME) to the pods that share");
  }
  return policy;
}

std::optional<GroupId> ParseGroupId(std::string_view text, std::string_view pod_namespace) {
  GroupId group{std::string(pod_namespace), std::string(text)};
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    group = {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
    if (!IsNamespaceName(group.owner)) return std::nullopt;
  }
  if (!IsGroupName(group.name)) return std::nullopt;
  return group;
}

std::string GroupText(const GroupId& group, std::string_view pod_namespace) {
  return group.owner == pod_namespace ? group.name : group.Text();
}

std::string GroupNames(const Pod& pod, const SharePolicy& policy) {
  std::string names;
  for (const Membership& membership : policy.groups) {
    names += (names.empty() ? "" : ", ") + GroupText(membership.group, pod.pod_namespace);
  }
  return names;
}

}  // namespace npu_ipc::pods
