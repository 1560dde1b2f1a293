// ShareRegistry: rights that are looked at again, and taken back.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <vector>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

using wire::RotateReason;
using wire::WithdrawReason;

uint32_t Milliseconds(Duration duration) {
  const auto count = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(count, 0, UINT32_MAX - 1));
}

template <class T>
std::vector<T> CopyOf(const std::set<T>& set) {
  return std::vector<T>(set.begin(), set.end());
}

}  // namespace

pods::RevokeMode ShareRegistry::RevokeModeOf(PodRecord& pod) {
  if (const auto mode = context_.RevokeModeOf(pod.uid)) pod.revoke = *mode;
  return pod.revoke;
}

void ShareRegistry::RightsChanged(const std::string& pod_cgroup_uid) {
  const auto found = pods_.find(pod_cgroup_uid);
  if (found == pods_.end()) return;
  PodRecord& pod = found->second;
  RevokeModeOf(pod);
  Keys exported;
  for (const ClientId client : pod.clients) {
    for (const RegionId region : Known(client).regions) exported.insert(regions_.at(region).key);
  }
  Keys listed_on;
  for (const auto& [key, pids] : pod.listed_on) {
    listed_on.insert(regions_.at(*key->regions.begin()).key);
  }
  const std::vector<ClientId> clients = CopyOf(pod.clients);
  Keys to_rotate;
  for (const ClientId client : clients) RecheckClient(client, &to_rotate);
  // Also whoever holds nothing now: what is on a whitelist stays there.
  for (const SharedKey& key : listed_on) RecheckListings(key, pod, &to_rotate);
  for (const SharedKey& key : exported) {
    std::set<const PodRecord*> importers;
    for (const auto& [pid, listing] : key->listings) importers.insert(listing.pod);
    for (const PodRecord* const importer : importers) RecheckListings(key, *importer, &to_rotate);
  }
  RotateAll(to_rotate);
  for (const ClientId client : clients) ForgetUnlessClaiming(client);
  OnChange();
}

void ShareRegistry::GuestRightsChanged(const std::string& owner_namespace) {
  const auto guests = guest_regions_.find(owner_namespace);
  if (guests == guest_regions_.end()) return;
  Keys to_rotate;
  std::set<ClientId> exporters;
  for (const RegionId region : CopyOf(guests->second)) {
    exporters.insert(regions_.at(region).exporter);
    RecheckRegion(region, &to_rotate);
  }
  RotateAll(to_rotate);
  for (const ClientId exporter : exporters) ForgetUnlessClaiming(exporter);
  OnChange();
}

void ShareRegistry::AllRightsChanged() {
  std::vector<std::string> pods;
  pods.reserve(pods_.size());
  for (const auto& [uid, pod] : pods_) pods.push_back(uid);
  for (const std::string& uid : pods) RightsChanged(uid);
}

void ShareRegistry::RecheckClient(ClientId id, Keys* to_rotate) {
  const Client& client = Known(id);
  for (const RegionId region : CopyOf(client.regions)) RecheckRegion(region, to_rotate);
  for (const GrantId grant : CopyOf(client.grants)) RecheckGrant(grant, to_rotate);
  for (const AttachId attach : CopyOf(client.attaches)) RecheckAttach(attach);
}

void ShareRegistry::RecheckRegion(RegionId id, Keys* to_rotate) {
  Region& region = regions_.at(id);
  if (!region.withdrawing) {
    const auto refusal =
        context_.CheckRight(region.exporter, region.name.group, ShareRight::kExport);
    if (refusal) return RevokeRegion(region, *refusal, to_rotate);
  }
  for (const GrantId grant : CopyOf(region.grants)) RecheckGrant(grant, to_rotate);
}

void ShareRegistry::RecheckGrant(GrantId id, Keys* to_rotate) {
  Grant& grant = grants_.at(id);
  if (grant.revoked || grant.exporter == 0) return;
  const Region& region = regions_.at(grant.region);
  PodRecord& exporter = *region.key->pod;
  const auto refusal =
      context_.CheckShare(exporter.uid, Known(grant.importer).pod->uid, region.name.group);
  if (!refusal) return;
  const bool rotates = RevokeModeOf(exporter) == pods::RevokeMode::kRotate;
  if (rotates) to_rotate->insert(region.key);
  RevokeGrant(grant, *refusal, rotates);
}

// Also of one that waits: nothing that it waits for will help.
void ShareRegistry::RecheckAttach(AttachId id) {
  const auto found = attaches_.find(id);
  if (found == attaches_.end()) return;
  const PendingAttach& attach = found->second;
  const auto refusal = context_.CheckRight(attach.client, attach.name.group, ShareRight::kImport);
  if (refusal) RefuseAttach(id, *refusal);
}

void ShareRegistry::RecheckListings(const SharedKey& key, const PodRecord& importers,
                                    Keys* to_rotate) {
  if (to_rotate->contains(key) || RevokeModeOf(*key->pod) != pods::RevokeMode::kRotate) return;
  const auto listed = importers.listed_on.find(key.get());
  if (listed == importers.listed_on.end()) return;
  for (const RegionId region : key->regions) {
    const GroupKey& group = regions_.at(region).name.group;
    if (!context_.CheckShare(key->pod->uid, importers.uid, group)) return;
  }
  const bool runs = std::any_of(listed->second.begin(), listed->second.end(), [&](pid_t pid) {
    return context_.ProcessRuns(key->listings.at(pid).process);
  });
  if (runs) to_rotate->insert(key);
}

void ShareRegistry::RevokeGrant(Grant& grant, const Refusal& reason, bool rotates) {
  grant.revoked = true;
  ++revoked_;
  metrics_.CountRevocation(reason.status);
  SendWithdrawing(grant, WithdrawReason::kRevoked,
                  rotates ? Milliseconds(limits_.rotate_drain) : 0);
  const ClientInfo& importer = Known(grant.importer).info;
  spdlog::warn("revoked, still mapped: grant={} name={} pod={} pid={} mode={} reason={}", grant.id,
               grant.region_name, importer.PodFullName(), importer.process.pid,
               rotates ? "rotate" : "notify", reason.reason);
  context_.OnRevoked(grant.importer, reason);
}

// The exporter may share it no longer.
void ShareRegistry::RevokeRegion(Region& region, const Refusal& reason, Keys* to_rotate) {
  const RegionId id = region.id;
  const ClientId exporter = region.exporter;
  const bool rotates = RevokeModeOf(*region.key->pod) == pods::RevokeMode::kRotate &&
                       (!region.key->listings.empty() || region.key->listed_before > 0);
  if (rotates) to_rotate->insert(region.key);
  metrics_.CountRevocation(reason.status);
  CloseRegion(region, WithdrawReason::kRevoked, rotates ? Milliseconds(limits_.rotate_drain) : 0);
  for (const GrantId grant_id : region.grants) {
    Grant& grant = grants_.at(grant_id);
    if (!grant.revoked) ++revoked_;
    grant.revoked = true;
  }
  TellExporter(region, 0);
  spdlog::warn("region revoked: region={} name={} pod={} grants={} mode={} reason={}", id,
               region.name.Text(), Known(exporter).info.PodFullName(), region.grants.size(),
               rotates ? "rotate" : "notify", reason.reason);
  context_.OnRevoked(exporter, reason);
  if (!rotates) EraseIfDrained(id);
}

void ShareRegistry::RotateAll(const Keys& keys) {
  for (const SharedKey& key : keys) {
    StartRotation(key, RotateReason::kRevoked);
    EraseDrained(*key);  // where there was nothing to rotate with
  }
}

}  // namespace npu_ipc::broker
