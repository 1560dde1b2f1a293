// What one client's pod may do, as the pod directory has it now.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "plugin/broker/messages.h"
#include "plugin/broker/share_types.h"
#include "plugin/pods/directory.h"
#include "plugin/pods/policy.h"

namespace npu_ipc::broker {

// Belongs to the directory's thread. Every answer is of the pod as it is at that moment; its
// annotations are parsed again only when the pod is another object.
class Member {
 public:
  // `directory` must outlive the member. `pod_uid` is the one that the process' cgroup has.
  Member(const pods::PodDirectory& directory, std::string pod_uid);

  // nullptr where the directory does not know the pod (yet, or any more).
  std::shared_ptr<const pods::Pod> pod();

  // The pod's memberships, or why it has none: kUnknownPod, kNoGroup, kBadAnnotation, kUnsupported.
  std::variant<const pods::SharePolicy*, Refusal> Policy();

  // The group that a request means; an empty name is the pod's only group. kNotInGroup where the
  // pod is no member, or of several and none is named; else as Policy().
  std::variant<GroupKey, Refusal> Resolve(std::string_view group);

  // The same, for what was not granted before: kUnknownPod too where the pod is only known from before
  // the broker was restarted. Its annotations may have changed since.
  std::variant<GroupKey, Refusal> ResolveForNew(std::string_view group);

  // Nothing where the pod may; kNotInGroup, kRoleDenied, else as Policy().
  std::optional<Refusal> CheckRight(const GroupKey& group, ShareRight right);

 private:
  void Refresh();

  const pods::PodDirectory& directory_;
  const std::string pod_uid_;
  std::shared_ptr<const pods::Pod> pod_;
  Result<pods::SharePolicy> policy_;  // of pod_
};

}  // namespace npu_ipc::broker
