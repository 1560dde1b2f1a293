#include "plugin/broker/member.h"

#include <algorithm>
#include <utility>

namespace npu_ipc::broker {
namespace {

Refusal FromPolicy(const Status& status) {
  switch (status.code()) {
    case StatusCode::kNotFound:
      return {wire::Status::kNoGroup, status.message()};
    default:
      return {wire::Status::kBadAnnotation, status.message()};
  }
}

bool Same(const Result<pods::SharePolicy>& a, const Result<pods::SharePolicy>& b) {
  if (a.ok() && b.ok()) return *a == *b;
  return !a.ok() && !b.ok() && a.status().code() == b.status().code() &&
         a.status().message() == b.status().message();
}

}  // namespace

Refusal ToRefusal(const pods::ShareRefusal& refusal) {
  switch (refusal.cause) {
    case pods::RefusalCause::kNamespaceDenied:
    case pods::RefusalCause::kCrossNamespaceOff:
      return {wire::Status::kPolicyDenied, refusal.message};
    case pods::RefusalCause::kNotInGroup:
      return {wire::Status::kNotInGroup, refusal.message};
    case pods::RefusalCause::kRoleDenied:
      return {wire::Status::kRoleDenied, refusal.message};
    case pods::RefusalCause::kNotAllowed:
    case pods::RefusalCause::kAllowedRoleDenied:
    case pods::RefusalCause::kNoOwner:
      return {wire::Status::kNamespaceDenied, refusal.message};
    case pods::RefusalCause::kByteLimit:
      return {wire::Status::kQuotaExceeded, refusal.message};
    case pods::RefusalCause::kRegionLimit:
      return {wire::Status::kLimit, refusal.message};
  }
  return {wire::Status::kInternal, refusal.message};
}

Member::Member(const pods::PodDirectory& directory, const pods::ClusterPolicy& cluster,
               std::string pod_uid)
    : directory_(directory),
      cluster_(cluster),
      pod_uid_(std::move(pod_uid)),
      policy_(Status(StatusCode::kNotFound, "")) {}

bool Member::Refresh() {
  std::shared_ptr<const pods::Pod> now = directory_.Find(pod_uid_);
  if (now == pod_) return false;
  const bool was_known = pod_ != nullptr;
  pod_ = std::move(now);
  Result<pods::SharePolicy> policy =
      pod_ != nullptr ? pods::ParsePolicy(*pod_)
                      : Result<pods::SharePolicy>(Status(StatusCode::kNotFound, ""));
  const bool same = was_known == (pod_ != nullptr) && Same(policy, policy_);
  policy_ = std::move(policy);
  return !same;
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

bool Member::MayDisablePidValidation() {
  Refresh();
  return pod_ != nullptr && cluster_.MayDisablePidValidation(pod_->pod_namespace);
}

std::variant<GroupKey, Refusal> Member::Resolve(std::string_view group) {
  const auto policy = Policy();
  if (const auto* refusal = std::get_if<Refusal>(&policy)) return *refusal;
  const pods::SharePolicy& shares = *std::get<const pods::SharePolicy*>(policy);
  if (group.empty() && shares.groups.size() == 1) return ToKey(shares.groups.front().group);
  if (group.empty()) {
    return Refusal{wire::Status::kNotInGroup,
                   "pod " + pods::FullName(*pod_) + " is in several groups (" +
                       pods::GroupNames(*pod_, shares) + "): name the one that is meant"};
  }
  const std::optional<pods::GroupId> id = pods::ParseGroupId(group, pod_->pod_namespace);
  if (!id || shares.Find(*id) == nullptr) {
    return Refusal{wire::Status::kNotInGroup, "pod " + pods::FullName(*pod_) +
                                                  " is not in group '" + std::string(group) +
                                                  "'; its npu-ipc.io/group annotation names " +
                                                  pods::GroupNames(*pod_, shares)};
  }
  return ToKey(*id);
}

std::variant<pods::PodSide, Refusal> Member::Side() {
  const auto policy = Policy();
  if (const auto* refusal = std::get_if<Refusal>(&policy)) return *refusal;
  return pods::PodSide{*pod_, *std::get<const pods::SharePolicy*>(policy)};
}

std::optional<Refusal> Member::CheckRight(const GroupKey& group, ShareRight right) {
  const auto side = Side();
  if (const auto* refusal = std::get_if<Refusal>(&side)) return *refusal;
  const auto action =
      right == ShareRight::kExport ? pods::ShareAction::kExport : pods::ShareAction::kImport;
  const auto refusal = pods::CheckMember({group.pod_namespace, group.name},
                                         std::get<pods::PodSide>(side), action, cluster_);
  if (refusal) return ToRefusal(*refusal);
  return std::nullopt;
}

}  // namespace npu_ipc::broker
