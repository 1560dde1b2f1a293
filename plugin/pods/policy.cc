#include "plugin/pods/policy.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace npu_ipc::pods {
namespace {

constexpr size_t kMaxGroups = 32;
constexpr size_t kMaxGroupNameBytes = 127;  // runtime/protocol/wire.h: kNameBytes with its NUL

constexpr std::string_view kNotSupportedYet[] = {"allow-namespaces", "max-bytes", "revoke"};

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// The characters of a label's value, so that one can become part of a name.
bool IsGroupName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxGroupNameBytes && IsAlphanumeric(name.front()) &&
         IsAlphanumeric(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
           return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

std::optional<Role> ParseRole(std::string_view text) {
  for (const Role role : {Role::kExporter, Role::kImporter, Role::kBoth}) {
    if (text == RoleName(role)) return role;
  }
  return std::nullopt;
}

Status Invalid(std::string_view entry, std::string_view problem) {
  return {StatusCode::kInvalidArgument,
          "entry '" + std::string(entry) + "' " + std::string(problem) +
              "; accepted: name[:role], comma-separated, role exporter, importer or both"};
}

Status NotSupportedYet(std::string_view what) {
  return {StatusCode::kUnimplemented, std::string(what) + " is not supported yet"};
}

Result<Membership> ParseMembership(std::string_view entry) {
  if (entry.empty()) return Invalid(entry, "is empty");
  if (entry.find("$(") != std::string_view::npos) {
    return NotSupportedYet("entry '" + std::string(entry) + "': $(labels['KEY'])");
  }
  if (entry.find('/') != std::string_view::npos) {
    return NotSupportedYet("entry '" + std::string(entry) + "': another namespace's group");
  }
  const size_t colon = entry.find(':');
  const std::string_view name = Trim(entry.substr(0, colon));
  if (!IsGroupName(name)) {
    return Invalid(entry,
                   "has no good group name (1 to 127 letters, digits, '-', '_' or '.', a letter or "
                   "digit first and last)");
  }
  Membership membership{std::string(name), Role::kBoth};
  if (colon != std::string_view::npos) {
    const std::optional<Role> role = ParseRole(Trim(entry.substr(colon + 1)));
    if (!role) return Invalid(entry, "has an unknown role");
    membership.role = *role;
  }
  return membership;
}

Result<SharePolicy> ParseGroups(std::string_view value) {
  SharePolicy policy;
  for (;;) {
    const size_t comma = value.find(',');
    const std::string_view entry = Trim(value.substr(0, comma));
    Result<Membership> membership = ParseMembership(entry);
    if (!membership.ok()) return membership.status();
    if (policy.Find(membership->group) != nullptr) {
      return Invalid(entry, "names a group that an entry before it has");
    }
    policy.groups.push_back(std::move(membership).value());
    if (policy.groups.size() > kMaxGroups) {
      return Status(StatusCode::kInvalidArgument,
                    "more than " + std::to_string(kMaxGroups) + " groups");
    }
    if (comma == std::string_view::npos) return policy;
    value.remove_prefix(comma + 1);
  }
}

// Everything of ours but `group`.
Status CheckOther(std::string_view name, std::string_view value) {
  if (std::find(std::begin(kNotSupportedYet), std::end(kNotSupportedYet), name) !=
      std::end(kNotSupportedYet)) {
    return NotSupportedYet("it");
  }
  if (name == "inject") {
    if (value == "library") return Status::Ok();
    if (value == "preload") return NotSupportedYet("'preload'");
    return {StatusCode::kInvalidArgument,
            "value '" + std::string(value) + "'; accepted: library or preload"};
  }
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

const Membership* SharePolicy::Find(std::string_view group) const {
  const auto found = std::find_if(groups.begin(), groups.end(),
                                  [&](const Membership& m) { return m.group == group; });
  return found == groups.end() ? nullptr : &*found;
}

Result<SharePolicy> ParsePolicy(const Pod& pod) {
  for (auto it = pod.annotations.lower_bound(std::string(kAnnotationPrefix));
       it != pod.annotations.end() && it->first.starts_with(kAnnotationPrefix); ++it) {
    if (it->first == kGroupAnnotation) continue;
    const std::string_view name = std::string_view(it->first).substr(kAnnotationPrefix.size());
    if (Status checked = CheckOther(name, it->second); !checked.ok()) {
      return checked.WithContext("pod " + FullName(pod) + ", annotation " + it->first);
    }
  }
  const auto group = pod.annotations.find(std::string(kGroupAnnotation));
  if (group == pod.annotations.end()) {
    return Status(StatusCode::kNotFound,
                  "pod " + FullName(pod) + " has no npu-ipc.io/group annotation; add one (" +
                      std::string(kGroupAnnotation) + ": NAME) to the pods that share");
  }
  Result<SharePolicy> policy = ParseGroups(group->second);
  if (!policy.ok()) {
    return policy.status().WithContext("pod " + FullName(pod) + ", annotation " + group->first);
  }
  return policy;
}

}  // namespace npu_ipc::pods
