// What one pod may do, as the pod directory and the cluster's policy have it now.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "plugin/broker/messages.h"
#include "plugin/broker/share_types.h"
#include "plugin/pods/cluster_policy.h"
#include "plugin/pods/directory.h"
#include "plugin/pods/policy.h"
#include "plugin/pods/share_decision.h"

namespace npu_ipc::broker {

// Belongs to the directory's thread. Every answer is of the pod as it is at that moment; its
// annotations are parsed again only when the pod is another object.
class Member {
 public:
  // `directory` and `cluster` must outlive the member. `pod_uid` is the one that the process'
  // cgroup has.
  Member(const pods::PodDirectory& directory, const pods::ClusterPolicy& cluster,
         std::string pod_uid);

  // Looks at the pod now. True where what it asks for is not what it was when it was looked at
  // before, or it has come or gone: most changes of a pod are of its status.
  bool Refresh();

  // nullptr where the directory does not know the pod (yet, or any more).
  std::shared_ptr<const pods::Pod> pod();

  // The pod's memberships, or why it has none: kUnknownPod, kNoGroup, kBadAnnotation.
  std::variant<const pods::SharePolicy*, Refusal> Policy();

  // The pod with its policy, until either changes; else as Policy().
  std::variant<pods::PodSide, Refusal> Side();

  // Whether the cluster lets the pod's programs export with their pid validation off.
  bool MayDisablePidValidation();

  // The group that a request means: "name" of the pod's own namespace or "namespace/name"; an empty
  // name is the pod's only group. kNotInGroup where the pod is no member, or of several and none is
  // named; else as Policy().
  std::variant<GroupKey, Refusal> Resolve(std::string_view group);

  // Nothing where the pod may, as far as it and the cluster's policy go; kNotInGroup, kRoleDenied,
  // kPolicyDenied, else as Policy().
  std::optional<Refusal> CheckRight(const GroupKey& group, ShareRight right);

 private:
  const pods::PodDirectory& directory_;
  const pods::ClusterPolicy& cluster_;
  const std::string pod_uid_;
  std::shared_ptr<const pods::Pod> pod_;
  Result<pods::SharePolicy> policy_;  // of pod_
};

inline GroupKey ToKey(const pods::GroupId& group) { return {group.owner, group.name}; }

// How a client is told of it.
Refusal ToRefusal(const pods::ShareRefusal& refusal);

}  // namespace npu_ipc::broker
