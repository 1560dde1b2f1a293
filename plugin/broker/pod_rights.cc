#include "plugin/broker/pod_rights.h"

#include <algorithm>
#include <utility>

namespace npu_ipc::broker {
namespace {

constexpr char kAllowNamespaces[] = "npu-ipc.io/allow-namespaces";

Refusal NotLetIn(const GroupKey& group, const pods::Pod& guest, const std::string& what,
                 const std::string& role) {
  return {wire::Status::kNamespaceDenied,
          "no pod of namespace " + group.pod_namespace + " on this node lets namespace " +
              guest.pod_namespace + what + " group '" + group.Text() + "': one needs '" +
              guest.pod_namespace + role + "' in its " + kAllowNamespaces + " annotation"};
}

}  // namespace

PodRights::PodRights(const pods::PodDirectory& directory, const pods::ClusterPolicy& cluster)
    : directory_(directory), cluster_(cluster) {}

std::shared_ptr<Member> PodRights::MemberOf(const std::string& pod_uid) {
  std::weak_ptr<Member>& known = members_[pod_uid];
  if (std::shared_ptr<Member> member = known.lock()) return member;
  // The last of its processes takes the entry along.
  std::shared_ptr<Member> member(new Member(directory_, cluster_, pod_uid),
                                 [this, pod_uid](Member* ended) {
                                   members_.erase(pod_uid);
                                   delete ended;
                                 });
  known = member;
  return member;
}

std::optional<Refusal> PodRights::CheckRight(Member& member, const GroupKey& group,
                                             ShareRight right) {
  if (right == ShareRight::kSee) return CheckSees(member, group);
  if (auto refusal = member.CheckRight(group, right)) return refusal;
  const std::shared_ptr<const pods::Pod> pod = member.pod();
  if (right == ShareRight::kImport || pod->pod_namespace == group.pod_namespace) {
    return std::nullopt;
  }
  if (LetsIn(group, *pod, pods::ShareAction::kExport)) return std::nullopt;
  return NotLetIn(group, *pod, " export in", ":exporter");
}

// A guest learns nothing of a group before a pod of its namespace lets it in.
std::optional<Refusal> PodRights::CheckSees(Member& member, const GroupKey& group) {
  const auto importing = member.CheckRight(group, ShareRight::kImport);
  if (importing && member.CheckRight(group, ShareRight::kExport)) return importing;
  const std::shared_ptr<const pods::Pod> pod = member.pod();
  if (pod->pod_namespace == group.pod_namespace ||
      LetsIn(group, *pod, pods::ShareAction::kImport) ||
      LetsIn(group, *pod, pods::ShareAction::kExport)) {
    return std::nullopt;
  }
  return NotLetIn(group, *pod, " into", "");
}

// Whether a pod of the group's namespace on this node gives `guest` its leave.
bool PodRights::LetsIn(const GroupKey& group, const pods::Pod& guest, pods::ShareAction action) {
  const auto owners = owners_of_.find(group.pod_namespace);
  if (owners == owners_of_.end()) return false;
  return std::any_of(owners->second.begin(), owners->second.end(), [&](const std::string& uid) {
    const auto side = owners_.at(uid).member->Side();
    const auto* owner = std::get_if<pods::PodSide>(&side);
    return owner != nullptr &&
           !pods::CheckLeave({group.pod_namespace, group.name}, *owner, guest, action);
  });
}

std::optional<Refusal> PodRights::CheckShare(const std::string& exporter,
                                             const std::string& importer, const GroupKey& group) {
  const std::shared_ptr<Member> exporting = MemberOf(exporter);
  if (exporter == importer) return CheckRight(*exporting, group, ShareRight::kExport);
  const std::shared_ptr<Member> importing = MemberOf(importer);
  const auto exporter_side = exporting->Side();
  if (const auto* refusal = std::get_if<Refusal>(&exporter_side)) return *refusal;
  const auto importer_side = importing->Side();
  if (const auto* refusal = std::get_if<Refusal>(&importer_side)) return *refusal;
  const auto refusal =
      pods::CheckShare({group.pod_namespace, group.name}, std::get<pods::PodSide>(exporter_side),
                       std::get<pods::PodSide>(importer_side), cluster_);
  if (refusal) return ToRefusal(*refusal);
  return std::nullopt;
}

std::optional<Refusal> PodRights::CheckExport(const std::string& pod_uid, uint64_t bytes,
                                              const pods::ExportUsage& of_pod,
                                              const pods::ExportUsage& of_node) {
  const std::shared_ptr<Member> member = MemberOf(pod_uid);
  const auto side = member->Side();
  if (const auto* refusal = std::get_if<Refusal>(&side)) return *refusal;
  const auto refusal =
      pods::CheckExport(std::get<pods::PodSide>(side), bytes, of_pod, of_node, cluster_);
  if (refusal) return ToRefusal(*refusal);
  return std::nullopt;
}

std::optional<pods::RevokeMode> PodRights::RevokeModeOf(const std::string& pod_uid) {
  const std::shared_ptr<Member> member = MemberOf(pod_uid);
  const auto policy = member->Policy();
  const auto* shares = std::get_if<const pods::SharePolicy*>(&policy);
  if (shares == nullptr) return std::nullopt;
  return (*shares)->revoke;
}

PodRights::Changes PodRights::OnPodsChanged(const std::vector<std::string>& changed_uids) {
  Changes changes;
  for (const std::string& uid : changed_uids) {
    const auto known = members_.find(uid);
    const std::shared_ptr<Member> member = known == members_.end() ? nullptr : known->second.lock();
    // Of a pod without a process that we know, nobody remembers what it asked for.
    if (member != nullptr && !member->Refresh()) continue;
    changes.pods.push_back(uid);
    UpdateOwner(uid, &changes.owner_namespaces);
  }
  return changes;
}

void PodRights::UpdateOwner(const std::string& uid, std::set<std::string>* changed_namespaces) {
  const auto before = owners_.find(uid);
  if (before != owners_.end()) {
    const std::string name = before->second.pod_namespace;
    changed_namespaces->insert(name);
    std::set<std::string>& of_namespace = owners_of_.at(name);
    of_namespace.erase(uid);
    if (of_namespace.empty()) owners_of_.erase(name);
    owners_.erase(before);
  }
  const std::shared_ptr<const pods::Pod> pod = directory_.Find(uid);
  if (pod == nullptr || !pod->annotations.contains(kAllowNamespaces)) return;
  const std::shared_ptr<Member> member = MemberOf(uid);
  member->Refresh();
  owners_.emplace(uid, Owner{pod->pod_namespace, member});
  owners_of_[pod->pod_namespace].insert(uid);
  changed_namespaces->insert(pod->pod_namespace);
}

}  // namespace npu_ipc::broker
