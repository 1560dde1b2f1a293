// What pods may share with each other, as the pod directory and the cluster's policy have it now.
#pragma once

#include <stdint.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "plugin/broker/member.h"
#include "plugin/broker/messages.h"
#include "plugin/broker/share_types.h"
#include "plugin/pods/cluster_policy.h"
#include "plugin/pods/directory.h"
#include "plugin/pods/share_decision.h"

namespace npu_ipc::broker {

// Belongs to the directory's thread. Pods are named by the uid that their cgroups carry.
class PodRights {
 public:
  // Both must outlive this; `cluster` may change, and what is asked next is answered by what it is
  // then.
  PodRights(const pods::PodDirectory& directory, const pods::ClusterPolicy& cluster);

  // The pod's, one for all its processes: its annotations are parsed once.
  std::shared_ptr<Member> MemberOf(const std::string& pod_uid);

  // What Member::CheckRight() says, and, to export in another namespace's group or to see what is
  // in it, kNamespaceDenied where no pod of that namespace on the node allows it.
  std::optional<Refusal> CheckRight(Member& member, const GroupKey& group, ShareRight right);

  // Why a process of `importer` may not map what one of `exporter` shares in the group. Within one
  // pod it may whatever a process of it may share.
  std::optional<Refusal> CheckShare(const std::string& exporter, const std::string& importer,
                                    const GroupKey& group);

  // Why the pod may not export one more region, of `bytes` more: kQuotaExceeded, kLimit.
  std::optional<Refusal> CheckExport(const std::string& pod_uid, uint64_t bytes,
                                     const pods::ExportUsage& of_pod,
                                     const pods::ExportUsage& of_node);

  // nullopt where the pod does not say any more.
  std::optional<pods::RevokeMode> RevokeModeOf(const std::string& pod_uid);

  struct Changes {
    std::vector<std::string> pods;  // that may do something else than before
    std::set<std::string>
        owner_namespaces;  // whose pods may let others in that they did not, or not any more
  };
  // Of every pod that appears, changes or goes.
  Changes OnPodsChanged(const std::vector<std::string>& changed_uids);

 private:
  // Pods that let other namespaces into groups of theirs.
  struct Owner {
    std::string pod_namespace;
    std::shared_ptr<Member> member;
  };

  void UpdateOwner(const std::string& uid, std::set<std::string>* changed_namespaces);
  std::optional<Refusal> CheckSees(Member& member, const GroupKey& group);
  bool LetsIn(const GroupKey& group, const pods::Pod& guest, pods::ShareAction action);

  const pods::PodDirectory& directory_;
  const pods::ClusterPolicy& cluster_;
  std::unordered_map<std::string, std::weak_ptr<Member>> members_;
  std::unordered_map<std::string, Owner> owners_;
  std::map<std::string, std::set<std::string>> owners_of_;  // their uids, by namespace
};

}  // namespace npu_ipc::broker
