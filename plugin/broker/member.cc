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

// What is asked for must hold: nobody is admitted on terms that nobody keeps.
std::optional<Refusal> NotEnforcedYet(const pods::Pod& pod, const pods::SharePolicy& policy) {
  const bool foreign =
      std::any_of(policy.groups.begin(), policy.groups.end(),
                  [&](const pods::Membership& m) { return m.group.owner != pod.pod_namespace; });
  const char* what = foreign                                       ? "another namespace's group"
                     : policy.max_bytes                            ? "npu-ipc.io/max-bytes"
                     : policy.revoke == pods::RevokeMode::kRotate  ? "npu-ipc.io/revoke: rotate"
                     : policy.inject == pods::InjectMode::kPreload ? "npu-ipc.io/inject: preload"
                                                                   : nullptr;
  if (what == nullptr) return std::nullopt;
  return Refusal{wire::Status::kUnsupported,
                 "pod " + pods::FullName(pod) + ": " + std::string(what) + " is not supported yet"};
}

GroupKey ToKey(const pods::GroupId& group) { return {group.owner, group.name}; }

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
  if (auto refusal = NotEnforcedYet(*pod_, *policy_)) return *refusal;
  return &policy_.value();
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

std::variant<GroupKey, Refusal> Member::ResolveForNew(std::string_view group) {
  auto resolved = Resolve(group);
  if (std::holds_alternative<Refusal>(resolved)) return resolved;
  const pods::DirectoryState state = directory_.state();
  if (state.synced) return resolved;
  return Refusal{wire::Status::kUnknownPod,
                 "pod " + pods::FullName(*pod_) +
                     " is only known from before the broker was restarted, and nothing new is "
                     "granted until its annotations have been read again (" +
                     state.problem + ")"};
}

std::optional<Refusal> Member::CheckRight(const GroupKey& group, ShareRight right) {
  const auto resolved = Resolve(group.Text());
  if (const auto* refusal = std::get_if<Refusal>(&resolved)) return *refusal;
  const pods::Role role = policy_->Find({group.pod_namespace, group.name})->role;
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
