#include "plugin/pods/group_annotation.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "plugin/pods/names.h"

namespace npu_ipc::pods {
namespace {

constexpr size_t kMaxGroups = 32;
constexpr size_t kMaxAllowedNamespaces = 64;

constexpr char kGroupsForm[] =
    "; accepted: [namespace/]name[:role], comma-separated, role exporter, importer or both, "
    "$(labels['KEY']) in the name";
constexpr char kAllowedForm[] =
    "; accepted: namespace[:role], comma-separated, role importer (default), exporter or both";

constexpr std::string_view kExpansion = "$(";
constexpr std::string_view kLabelStart = "$(labels['";
constexpr std::string_view kLabelEnd = "'])";

Status Invalid(std::string_view entry, const std::string& problem) {
  return {StatusCode::kInvalidArgument, "entry " + Quoted(entry) + " " + problem};
}

// Where `wanted` is in `entry`, but not within $(...): the key of a label may have a slash.
size_t FindOutsideExpansions(std::string_view entry, char wanted) {
  for (size_t at = 0; at < entry.size(); ++at) {
    if (entry.substr(at).starts_with(kExpansion)) at = std::min(entry.find(')', at), entry.size());
    if (at < entry.size() && entry[at] == wanted) return at;
  }
  return std::string_view::npos;
}

// Each part of `value` between commas, trimmed, until one is refused.
Status ForEachEntry(std::string_view value, size_t limit,
                    const std::function<Status(std::string_view entry)>& take) {
  for (size_t count = 1;; ++count) {
    if (count > limit) {
      return {StatusCode::kInvalidArgument, "more than " + std::to_string(limit) + " entries"};
    }
    const size_t comma = value.find(',');
    if (Status taken = take(Trimmed(value.substr(0, comma))); !taken.ok()) return taken;
    if (comma == std::string_view::npos) return Status::Ok();
    value.remove_prefix(comma + 1);
  }
}

// Cuts ":role" off `*entry`; `role` keeps its value where there is none.
Status TakeRole(std::string_view* entry, Role* role) {
  const std::string_view whole = *entry;
  const size_t colon = FindOutsideExpansions(whole, ':');
  if (colon == std::string_view::npos) return Status::Ok();
  const std::optional<Role> named = ParseRole(Trimmed(whole.substr(colon + 1)));
  if (!named) return Invalid(whole, "has an unknown role");
  *role = *named;
  *entry = Trimmed(whole.substr(0, colon));
  return Status::Ok();
}

// `name` with the values of labels in it. The error is the problem alone.
Result<std::string> Expand(std::string_view name, const Pod& pod) {
  std::string expanded;
  for (;;) {
    const size_t start = name.find(kExpansion);
    expanded += name.substr(0, start);
    if (start == std::string_view::npos) return expanded;
    name.remove_prefix(start);
    const size_t end = name.find(kLabelEnd);
    if (!name.starts_with(kLabelStart) || end == std::string_view::npos ||
        end < kLabelStart.size()) {
      return Status(StatusCode::kInvalidArgument, "has a $(...) other than $(labels['KEY'])");
    }
    const std::string key(name.substr(kLabelStart.size(), end - kLabelStart.size()));
    const auto label = pod.labels.find(key);
    if (label == pod.labels.end() || label->second.empty()) {
      return Status(StatusCode::kInvalidArgument,
                    "needs the label " + Quoted(key) + ", which the pod " +
                        (label == pod.labels.end() ? "does not have" : "has without a value"));
    }
    expanded += label->second;
    name.remove_prefix(end + kLabelEnd.size());
  }
}

Result<GroupId> ParseGroup(std::string_view entry, std::string_view text, const Pod& pod) {
  GroupId group{pod.pod_namespace, ""};
  if (const size_t slash = FindOutsideExpansions(text, '/'); slash != std::string_view::npos) {
    group.owner = Trimmed(text.substr(0, slash));
    if (!IsNamespaceName(group.owner)) {
      return Invalid(entry, "has no good namespace before the slash (" +
                                std::string(kNamespaceNameForm) + ")");
    }
    text = Trimmed(text.substr(slash + 1));
  }
  Result<std::string> name = Expand(text, pod);
  if (!name.ok()) return Invalid(entry, name.status().message());
  group.name = std::move(name).value();
  if (!IsGroupName(group.name)) {
    return Invalid(entry, (group.name == text ? "has no good group name ("
                                              : "becomes " + Quoted(group.name) +
                                                    " with its labels, which is no group name (") +
                              std::string(kGroupNameForm) + ")");
  }
  if (group.owner != pod.pod_namespace && group.Text().size() > kMaxGroupNameBytes) {
    return Invalid(entry, "is too long with its namespace: 'namespace/name' may have 127 bytes");
  }
  return group;
}

}  // namespace

std::optional<Role> ParseRole(std::string_view text) {
  for (const Role role : {Role::kExporter, Role::kImporter, Role::kBoth}) {
    if (text == RoleName(role)) return role;
  }
  return std::nullopt;
}

Result<std::vector<Membership>> ParseGroups(std::string_view value, const Pod& pod) {
  SharePolicy policy;
  const Status taken = ForEachEntry(value, kMaxGroups, [&](std::string_view entry) {
    if (entry.empty()) return Invalid(entry, "is empty");
    Membership membership;
    std::string_view text = entry;
    if (Status role = TakeRole(&text, &membership.role); !role.ok()) return role;
    Result<GroupId> group = ParseGroup(entry, text, pod);
    if (!group.ok()) return group.status();
    membership.group = std::move(group).value();
    if (policy.Find(membership.group) != nullptr) {
      return Invalid(entry, "names a group that an entry before it has");
    }
    policy.groups.push_back(std::move(membership));
    return Status::Ok();
  });
  if (!taken.ok()) return Status(taken.code(), taken.message() + kGroupsForm);
  return std::move(policy.groups);
}

Result<std::vector<AllowedNamespace>> ParseAllowedNamespaces(std::string_view value,
                                                             const Pod& pod) {
  SharePolicy policy;
  const Status taken = ForEachEntry(value, kMaxAllowedNamespaces, [&](std::string_view entry) {
    if (entry.empty()) return Invalid(entry, "is empty");
    AllowedNamespace allowed;
    std::string_view text = entry;
    if (Status role = TakeRole(&text, &allowed.role); !role.ok()) return role;
    allowed.name = text;
    if (allowed.name == "*") return Invalid(entry, "allows everybody: name each namespace");
    if (!IsNamespaceName(allowed.name)) {
      return Invalid(entry,
                     "has no good namespace's name (" + std::string(kNamespaceNameForm) + ")");
    }
    if (allowed.name == pod.pod_namespace) {
      return Invalid(entry,
                     "is the pod's own namespace, whose pods need no leave: their own group "
                     "annotations say their roles");
    }
    if (policy.FindAllowed(allowed.name) != nullptr) {
      return Invalid(entry, "names a namespace that an entry before it has");
    }
    policy.allowed_namespaces.push_back(std::move(allowed));
    return Status::Ok();
  });
  if (!taken.ok()) return Status(taken.code(), taken.message() + kAllowedForm);
  return std::move(policy.allowed_namespaces);
}

}  // namespace npu_ipc::pods
