// ShareRegistry: what processes hold already when they come back, from this broker or an earlier
// one.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::Status;
using wire::WithdrawReason;

// A process that has not come back is looked at this often: nothing tells of its end.
constexpr auto kCheckAwaitedEvery = std::chrono::seconds(1);

}  // namespace

// What a client claims comes first on a connection: later it is told by other messages.
std::optional<Refusal> ShareRegistry::CheckReclaim(ClientId id, const RegionName& name,
                                                   const wire::ReclaimRegion& claim) {
  const Client& client = Known(id);
  if (client.reclaimed) {
    return Refusal{Status::kMalformed, "a ReclaimRegion after ReclaimDone"};
  }
  if (!wire::IsIpcKey(claim.handle_kind)) {
    return Refusal{Status::kUnsupported, "only memory exported by key can be reclaimed"};
  }
  if (auto refusal = CheckRegions(client)) return refusal;
  if (!generations_.MayHaveGiven(name, claim.generation)) {
    return Refusal{Status::kClaimContradicted, "no broker of this node has given region '" +
                                                   name.name + "' the generation " +
                                                   std::to_string(claim.generation)};
  }
  return CheckExport(client, claim);
}

void ShareRegistry::ReclaimRegion(ClientId id, const GroupKey& group,
                                  const wire::ReclaimRegion& claim) {
  const RegionName name{group, std::string(Text(claim.name))};
  if (ReclaimLeftBehind(id, name, claim)) return OnChange();
  if (const std::optional<Refusal> refusal = CheckReclaim(id, name, claim)) {
    return Refuse(id, claim.header.request_id, *refusal);
  }
  Region& region = AddRegion(id, name, claim);
  region.generation = claim.generation;
  region.key->listed_before = std::max(region.key->listed_before, claim.whitelisted);
  LearnWhitelist(region.key);
  NameOrClose(region, claim.withdrawn != 0);
  if (reclaim_window_ == 0 && ImportersMayComeBack(region)) {
    reclaim_window_ =
        deadlines_.Add(started_ + limits_.reclaim_window, [this] { ReclaimWindowEnded(); });
  }
  AnswerReclaim(id, region, claim);
  BindClaims(region);
  if (!region.withdrawing) WakeWaiting(name);
  OnChange();
}

// True where the region is one that the process has lost its connection for, and has again now.
bool ShareRegistry::ReclaimLeftBehind(ClientId id, const RegionName& name,
                                      const wire::ReclaimRegion& claim) {
  if (Known(id).reclaimed) return false;
  const Handle handle = HandleOf(claim.handle);
  Region* region = FindRegion(Known(id).info.process, handle, name.name, claim.generation);
  // Its key was renewed, and the client was not told the generation that came of it.
  const bool renewed =
      region != nullptr && claim.generation != 0 && region->former_generation == claim.generation;
  if (region != nullptr &&
      (region->name != name || (region->generation != claim.generation && !renewed))) {
    return false;
  }
  Region* const answer_lost = region == nullptr ? FindRenewedMeanwhile(id, name, claim) : nullptr;
  if (answer_lost != nullptr) {
    if (Contradiction(*answer_lost->key, handle)) return false;  // refused by CheckReclaim()
    region = answer_lost;
  }
  if (region == nullptr || Known(region->exporter).connected) return false;
  TakeOver(*region, id);
  AnswerReclaim(id, *region, claim);
  const SharedKey key = region->key;
  if (answer_lost != nullptr) {
    FinishRotation(key, handle);
    return true;
  }
  if (renewed) TellExporter(*region, region->generation);
  if (key->rotation && key->rotation->paused) ResumeRotation(key);
  BindClaims(*region);
  if (!region->withdrawing) WakeWaiting(name);
  return true;
}

void ShareRegistry::AnswerReclaim(ClientId id, const Region& region,
                                  const wire::ReclaimRegion& claim) {
  auto answer = NewMessage<wire::Published>(MessageType::kPublished, claim.header.request_id);
  answer.region_id = region.id;
  answer.generation = region.withdrawing ? 0 : claim.generation;
  Send(id, answer);
  const ClientInfo& info = Known(id).info;
  spdlog::info("region reclaimed: region={} name={} generation={} pod={} pid={} published={}",
               region.id, region.name.Text(), region.generation, info.PodFullName(),
               info.process.pid, region.withdrawing ? "no" : "yes");
}

// Gives a region that was reclaimed its name back, or none where somebody else has had it since or
// it may not be shared any more.
void ShareRegistry::NameOrClose(Region& region, bool withdrawn) {
  const auto refusal = context_.CheckRight(region.exporter, region.name.group, ShareRight::kExport);
  const bool taken = names_.contains(region.name) ||
                     generations_.GivenSince(region.name, region.generation) ||
                     NameKeptFrom(region.exporter, region.name) != nullptr;
  if (!refusal && !taken && !withdrawn) return GiveName(region);
  region.withdrawing = true;
  if (refusal) {
    spdlog::warn("region may not be shared any more: region={} name={} reason={}", region.id,
                 region.name.Text(), refusal->reason);
    metrics_.CountDenial(refusal->status);
    context_.OnRefused(region.exporter, *refusal);
    CloseRegion(region, WithdrawReason::kRevoked, 0);
  } else if (withdrawn) {
    CloseRegion(region, WithdrawReason::kWithdrawn, 0);
  } else {
    spdlog::warn("region has lost its name to another exporter: region={} name={}", region.id,
                 region.name.Text());
  }
}

// The region of that key and name, of that generation where there are several.
ShareRegistry::Region* ShareRegistry::FindRegion(const ProcessKey& exporter, const Handle& handle,
                                                 std::string_view name, uint64_t generation) {
  const auto process = processes_.find(exporter);
  if (process == processes_.end()) return nullptr;
  const auto known = process->second.keys.find(handle);
  // A key that it has no more is nothing that anybody holds.
  if (known == process->second.keys.end() || known->second->handle != handle) return nullptr;
  Region* best = nullptr;
  for (const RegionId region_id : known->second->regions) {
    Region& region = regions_.at(region_id);
    if (region.name.name != name) continue;
    if (region.generation == generation) return &region;
    best = &region;
  }
  return best;
}

// The process has lost the connection over which it published the region, and has a new one.
void ShareRegistry::TakeOver(Region& region, ClientId id) {
  const std::vector<AttachId> admitting(region.admitting.begin(), region.admitting.end());
  for (const AttachId attach : admitting) StopAsking(attaches_.at(attach));
  const ClientId before = region.exporter;
  Known(before).regions.erase(region.id);
  Client& client = Known(id);
  client.regions.insert(region.id);
  region.exporter = id;
  if (!region.withdrawing) RecordName(region);
  for (const GrantId grant : region.grants) grants_.at(grant).exporter = id;
  ForgetUnlessClaiming(before);
  for (const AttachId attach : admitting) TryAttach(attach);
}

void ShareRegistry::ReclaimMapping(ClientId id, const wire::ReclaimMapping& claim) {
  const RequestId request_id = claim.header.request_id;
  if (Known(id).reclaimed) {
    return Refuse(id, request_id, {Status::kMalformed, "a ReclaimMapping after ReclaimDone"});
  }
  const std::optional<ProcessKey> exporter =
      context_.FindProcess(claim.exporter_host_pid, std::string(Text(claim.exporter_pod_uid)));
  const Handle handle = HandleOf(claim.handle);
  const std::optional<ProcessKey> known = exporter ? KnownProcess(*exporter) : std::nullopt;
  Region* const region =
      known ? FindRegion(*known, handle, Text(claim.name), claim.generation) : nullptr;
  const Grant* grant = region == nullptr ? nullptr : TakeOverGrant(id, *region);
  const bool known_before = grant != nullptr;
  if (!known_before) {
    if (const auto refusal = CheckMapping(id, claim)) return Refuse(id, request_id, *refusal);
    grant = &AddClaim(id, claim);
  }
  const GrantId grant_id = grant->id;
  auto answer = NewMessage<wire::Reclaimed>(MessageType::kReclaimed, request_id);
  answer.grant_id = grant_id;
  Send(id, answer);
  Grant& claimed = grants_.at(grant_id);
  if (known_before) {
    TellWhatHasChanged(*region, claimed);
  } else if (!exporter) {
    ClaimIsDead(claimed);
  } else {
    claimed.exporter_process = *exporter;
    awaited_[*exporter][handle].insert(grant_id);
    if (region != nullptr) BindClaims(*region);
    if (check_awaited_ == 0 && !awaited_.empty()) {
      check_awaited_ =
          deadlines_.Add(clock_.Now() + kCheckAwaitedEvery, [this] { CheckAwaited(); });
    }
  }
  OnChange();
}

std::optional<Refusal> ShareRegistry::CheckMapping(ClientId id, const wire::ReclaimMapping& claim) {
  const Client& client = Known(id);
  if (auto refusal = CheckLimit(RecordOf(client).grants, limits_.grants, limits_.pod.grants,
                                "mappings", "maxGrants")) {
    return refusal;
  }
  const auto contradiction = context_.Contradiction(driver_records::MappingClaim{
      KeyText(claim.handle), client.info.process.pid, claim.exporter_host_pid,
      claim.exporter_physical_device, claim.allocation_bytes});
  if (!contradiction) return std::nullopt;
  ReportContradiction(client, "mapping", *contradiction);
  return Refusal{Status::kClaimContradicted, *contradiction};
}

ShareRegistry::Grant& ShareRegistry::AddClaim(ClientId id, const wire::ReclaimMapping& request) {
  Client& client = Known(id);
  Grant grant;
  grant.id = next_id_++;
  grant.importer = id;
  grant.exporter = 0;
  grant.region = 0;
  grant.region_name = std::string(Text(request.group)) + "/" + std::string(Text(request.name));
  grant.importer_device = request.claimed_physical_device;
  grant.exporter_device = request.exporter_physical_device;
  grant.claim = std::make_unique<Claim>();
  grant.claim->handle = HandleOf(request.handle);
  grant.claim->name = Text(request.name);
  grant.claim->exporter_pod_uid = Text(request.exporter_pod_uid);
  grant.claim->allocation_bytes = request.allocation_bytes;
  grant.claim->view_bytes = request.view_bytes;
  grant.claim->since = clock_.Now();
  grant.since = grant.claim->since;
  grant.imported = true;
  peer_access_.Use(client.info.process, grant.importer_device, grant.exporter_device);
  client.grants.insert(grant.id);
  ++RecordOf(client).grants;
  const GrantId grant_id = grant.id;
  return grants_.emplace(grant_id, std::move(grant)).first->second;
}

// A grant of this region that a client of the same process had before it lost its connection; null
// where there is none (any more).
ShareRegistry::Grant* ShareRegistry::TakeOverGrant(ClientId id, const Region& region) {
  Client& client = Known(id);
  if (!client.left_behind) {
    client.left_behind.emplace();
    for (const ClientId sibling : RecordOf(client).clients) {
      if (Known(sibling).connected) continue;
      for (const GrantId grant : Known(sibling).grants) {
        if (grants_.at(grant).exporter == 0) continue;  // dead, or claimed itself
        client.left_behind->emplace(grants_.at(grant).region, grant);
      }
    }
  }
  for (;;) {
    const auto left = client.left_behind->find(region.id);
    if (left == client.left_behind->end()) return nullptr;
    const auto grant = grants_.find(left->second);
    client.left_behind->erase(left);
    if (grant == grants_.end() || Known(grant->second.importer).connected) continue;
    const ClientId before = std::exchange(grant->second.importer, id);
    Known(before).grants.erase(grant->first);
    client.grants.insert(grant->first);
    ForgetUnlessClaiming(before);
    return &grant->second;
  }
}

// The claims of importers that this region proves.
void ShareRegistry::BindClaims(Region& region) {
  const auto of_process = awaited_.find(Known(region.exporter).info.process.AsTheKernelSays());
  if (of_process == awaited_.end()) return;
  const auto of_key = of_process->second.find(region.key->handle);
  if (of_key == of_process->second.end()) return;
  const std::vector<GrantId> waiting(of_key->second.begin(), of_key->second.end());
  for (const GrantId grant_id : waiting) {
    Grant& grant = grants_.at(grant_id);
    if (grant.claim->name == region.name.name && grant.exporter_device == region.device &&
        grant.claim->allocation_bytes == region.allocation_bytes &&
        grant.claim->view_bytes == region.view_bytes) {
      Bind(region, grant);
    }
  }
}

void ShareRegistry::Bind(Region& region, Grant& grant) {
  StopAwaiting(grant);
  grant.exporter = region.exporter;
  grant.exporter_process = Known(region.exporter).info.process;
  grant.region = region.id;
  grant.region_name = region.name.Text();
  peer_access_.Use(grant.exporter_process, region.device, grant.importer_device);
  region.grants.insert(grant.id);
  ++region.key->grants;
  List(*region.key, Known(grant.importer));
  const ClientInfo& importer = Known(grant.importer).info;
  spdlog::info("mapping reclaimed: grant={} region={} name={} generation={} pod={} pid={}",
               grant.id, region.id, region.name.Text(), region.generation, importer.PodFullName(),
               importer.process.pid);
  TellWhatHasChanged(region, grant);
}

// What the importer was not told while it was away: a right that was taken back, or a withdraw.
void ShareRegistry::TellWhatHasChanged(const Region& region, const Grant& grant) {
  if (grant.revoked) return SendWithdrawing(grant, WithdrawReason::kRevoked, 0);
  Keys to_rotate;
  RecheckGrant(grant.id, &to_rotate);
  for (const SharedKey& key : to_rotate) RotateSoon(key, wire::RotateReason::kRevoked);
  if (grant.revoked) return;
  if (region.told) return SendWithdrawing(grant, *region.told, 0);
  if (region.key->rotation) SendWithdrawing(grant, WithdrawReason::kRotated, 0);
}

void ShareRegistry::StopAwaiting(Grant& grant) {
  if (!grant.claim) return;
  const auto of_process = awaited_.find(grant.exporter_process);
  if (of_process != awaited_.end()) {
    const auto of_key = of_process->second.find(grant.claim->handle);
    if (of_key != of_process->second.end()) {
      of_key->second.erase(grant.id);
      if (of_key->second.empty()) of_process->second.erase(of_key);
    }
    if (of_process->second.empty()) awaited_.erase(of_process);
  }
  grant.claim.reset();
}

// Its exporter has ended, or has closed the key while nobody could tell.
void ShareRegistry::ClaimIsDead(Grant& grant) {
  StopAwaiting(grant);
  SendWithdrawing(grant, WithdrawReason::kExporterGone, 0);
}

void ShareRegistry::AwaitedEnded(const ProcessKey& exporter) {
  for (;;) {
    const auto found = awaited_.find(exporter.AsTheKernelSays());
    if (found == awaited_.end()) return;
    ClaimIsDead(grants_.at(*found->second.begin()->second.begin()));
  }
}

bool ShareRegistry::ReclaimedSince(const ProcessKey& process, TimePoint when) const {
  const auto found = processes_.find(process);
  if (found == processes_.end()) return false;
  return std::any_of(found->second.clients.begin(), found->second.clients.end(), [&](ClientId id) {
    const Client& client = clients_.at(id);
    return client.connected && client.reclaimed && *client.reclaimed >= when;
  });
}

// An exporter that has told what it holds, and has had time to tell it over each of its
// connections, does not hold what is still waiting. One that never says anything may hold it as
// long as it lives.
void ShareRegistry::CheckAwaited() {
  check_awaited_ = 0;
  const TimePoint now = clock_.Now();
  std::vector<ProcessKey> exporters;
  exporters.reserve(awaited_.size());
  for (const auto& [process, keys] : awaited_) exporters.push_back(process);
  for (const ProcessKey& exporter : exporters) {
    std::vector<GrantId> waiting;
    for (const auto& [handle, grants] : awaited_.at(exporter)) {
      waiting.insert(waiting.end(), grants.begin(), grants.end());
    }
    const std::string& pod_uid = grants_.at(waiting.front()).claim->exporter_pod_uid;
    if (context_.FindProcess(exporter.pid, pod_uid) != exporter) {
      AwaitedEnded(exporter);
      continue;
    }
    const std::optional<ProcessKey> known = KnownProcess(exporter);
    if (!known || !ReclaimedSince(*known, started_)) continue;
    for (const GrantId grant_id : waiting) {
      Grant& grant = grants_.at(grant_id);
      if (grant.claim->since + limits_.disconnect_grace <= now) ClaimIsDead(grant);
    }
  }
  if (!awaited_.empty()) {
    check_awaited_ = deadlines_.Add(now + kCheckAwaitedEvery, [this] { CheckAwaited(); });
  }
}

void ShareRegistry::PeerHeld(ClientId id, const wire::PeerHeld& claim) {
  Client& client = Known(id);
  const DevicePair pair{claim.own_physical_device, claim.peer_physical_device};
  if (client.reclaimed || client.peers_held.size() >= limits_.peers_held) return;
  if (client.peers_held.insert(pair).second) {
    peer_access_.Use(client.info.process, pair.first, pair.second);
  }
}

void ShareRegistry::ReclaimDone(ClientId id) {
  Client& client = Known(id);
  if (client.reclaimed) return;
  client.reclaimed = clock_.Now();
  client.left_behind.reset();
  ReleasePeersHeld(id, false);
  CameBack(id);
  if (!client.peers_held.empty()) {
    client.peers_held_deadline =
        deadlines_.Add(clock_.Now() + limits_.disconnect_grace, [this, id] {
          Known(id).peers_held_deadline = 0;
          ReleasePeersHeld(id, true);
        });
  }
  spdlog::info("reclaimed: pod={} pid={} regions={} mappings={}", client.info.PodFullName(),
               client.info.process.pid, client.regions.size(), client.grants.size());
}

// Pairs that no region or mapping of a known use are released. An exporter's wait for its
// importers: those that have not come back may use them.
void ShareRegistry::ReleasePeersHeld(ClientId id, bool also_of_exports) {
  Client& client = Known(id);
  std::set<uint32_t> exporting;
  if (!also_of_exports) {
    for (const RegionId region : client.regions) exporting.insert(regions_.at(region).device);
  }
  const std::set<DevicePair> held = std::exchange(client.peers_held, {});
  for (const DevicePair& pair : held) {
    if (exporting.contains(pair.first)) {
      client.peers_held.insert(pair);
    } else {
      ReleasePeer(id, client.info.process, pair.first, pair.second);
    }
  }
}

void ShareRegistry::Closed(ClientId id, const wire::Closed& outcome) {
  const auto found = regions_.find(outcome.region_id);
  if (found == regions_.end() || found->second.exporter != id) return;
  DropExporter(found->second);
  OnChange();
}

// Whether processes that an earlier broker let in, and that this one does not know yet, are still
// given time to say so. Only a withdraw waits for them.
bool ShareRegistry::ImportersMayComeBack(const Region& region) const {
  return region.key->listed_before > 0 && clock_.Now() < started_ + limits_.reclaim_window;
}

void ShareRegistry::ReclaimWindowEnded() {
  std::vector<RegionId> closed;
  for (const auto& [id, region] : regions_) {
    if (region.told) closed.push_back(id);
  }
  for (const RegionId id : closed) EraseIfDrained(id);
  OnChange();
}

// What a client that lost its connection held, where its process has come back since and has not
// claimed it again: it was closed meanwhile.
void ShareRegistry::EndLeftGrants(ClientId id) {
  Client& client = Known(id);
  if (!ReclaimedSince(client.info.process, client.disconnected)) return;
  while (!client.grants.empty()) EndGrant(*client.grants.begin());
}

}  // namespace npu_ipc::broker
