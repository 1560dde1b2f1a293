#include "plugin/broker/member.h"

#include <utility>

namespace npu_ipc::broker {
namespace {

Refusal FromPolicy(const Status& status) {
  switch (status.code()) {
    case StatusCode::kNotFound:
      return {wire::Status::kNoGroup, status.message()};
    case StatusCode::kUnimplemented:
      return {wire::Status::kUnsupported, status.message()};
    default:
      return {wire::Status::kBadAnnotation, status.message()};
  }
}

std::string GroupNames(const pods::SharePolicy& policy) {
  std::string names;
  for (const pods::Membership& membership : policy.groups) {
    names += (names.empty() ? "" : ", ") + membership.group;
  }
  return names;
}

}  // namespace

Member::Member(const pods::PodDirectory& directory, std::string pod_uid)
    : directory_(directory),
      pod_uid_(std::move(pod_uid)),
      policy_(Status(StatusCode::kNotFound, "")) {}

void Member::Refresh() {
  std::shared_ptr<const pods::Pod> now = directory_.Find(pod_uid_);
  if (now == pod_) return;
  pod_ = std::move(now);
  if (pod_ != nullptr) policy_ = pods::ParsePolicy(*pod_);
}

std::shared_ptr<const pods::Pod> Member::pod() {
  Refresh();
  return pod_;
}

std::variant<const pods::SharePolicy*, Refusal> Member::Policy() {
  Refresh();
  if (pod_ == nullptr) {
    const pods::DirectoryState state = directory_.state();
    return Refusal{wire::Status::kUnknownPod,
                   "the pod directory does not know pod " + pod_uid_ + " (it knows " +
                       std::to_string(state.pods) + " pods" +
                       (state.problem.empty() ? "" : "; " + state.problem) + ")"};
  }
  if (!policy_.ok()) return FromPolicy(policy_.status());
  return &policy_.value();
}

std::variant<GroupKey, Refusal> Member::Resolve(std::string_view group) {
  const auto policy = Policy();
  if (const auto* refusal = std::get_if<Refusal>(&policy)) return *refusal;
  const pods::SharePolicy& shares = *std::get<const pods::SharePolicy*>(policy);
  if (group.empty() && shares.groups.size() == 1) {
    return GroupKey{pod_->pod_namespace, shares.groups.front().group};
  }
  if (group.empty()) {
    return Refusal{wire::Status::kNotInGroup, "pod " + pods::FullName(*pod_) +
                                                  " is in several groups (" + GroupNames(shares) +
                                                  "): name the one that is meant"};
  }
  if (shares.Find(group) == nullptr) {
    return Refusal{wire::Status::kNotInGroup,
                   "pod " + pods::FullName(*pod_) + " is not in group '" + std::string(group) +
                       "'; its npu-ipc.io/group annotation names " + GroupNames(shares)};
  }
  return GroupKey{pod_->pod_namespace, std::string(group)};
}

std::optional<Refusal> Member::CheckRight(const GroupKey& group, ShareRight right) {
  const auto resolved = Resolve(group.name);
  if (const auto* refusal = std::get_if<Refusal>(&resolved)) return *refusal;
  const pods::Role role = policy_->Find(group.name)->role;
  const bool allowed = right == ShareRight::kExport ? pods::MayExport(role) : pods::MayImport(role);
  if (allowed) return std::nullopt;
  const std::string needed = right == ShareRight::kExport ? "exporter" : "importer";
  return Refusal{wire::Status::kRoleDenied, "pod " + pods::FullName(*pod_) + " is only " +
                                                std::string(pods::RoleName(role)) + " in group '" +
                                                group.name +
                                                "'; its npu-ipc.io/group annotation needs the "
                                                "role " +
                                                needed + " or both"};
}

}  // namespace npu_ipc::broker
