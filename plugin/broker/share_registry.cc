#include "plugin/broker/share_registry.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::Status;
using wire::WithdrawReason;

constexpr size_t kRememberedNames = 131072;

const char* ReasonName(WithdrawReason reason) {
  switch (reason) {
    case WithdrawReason::kWithdrawn:
      return "withdrawn";
    case WithdrawReason::kExporterGone:
      return "exporter gone";
    case WithdrawReason::kRevoked:
      return "revoked";
    case WithdrawReason::kRotated:
      return "rotated";
  }
  return "";
}

Duration Milliseconds(uint32_t count) { return std::chrono::milliseconds(count); }

}  // namespace

ShareRegistry::ShareRegistry(const Clock& clock, const ShareLimits& limits, ShareContext& context,
                             Metrics& metrics, uint64_t generation_floor)
    : clock_(clock),
      limits_(limits),
      context_(context),
      metrics_(metrics),
      generations_(kRememberedNames, generation_floor),
      started_(clock.Now()) {}

ShareRegistry::~ShareRegistry() = default;

// The process that has a pid, where it is known by that incarnation: looks whether the one that was
// last known by it lives, as the news of its end may be on the way.
std::optional<ProcessKey> ShareRegistry::KnownProcess(const ProcessKey& process) const {
  const auto holder = pid_holders_.find(process.pid);
  if (holder == pid_holders_.end()) return std::nullopt;
  const ProcessKey& known = holder->second;
  const std::set<ClientId>& clients = processes_.at(known).clients;
  if (known.AsTheKernelSays() != process.AsTheKernelSays()) return std::nullopt;
  if (!context_.ProcessAlive(*clients.begin())) return std::nullopt;
  return known;
}

ClientId ShareRegistry::AddClient(ClientInfo info) {
  const ClientId id = next_id_++;
  if (const std::optional<ProcessKey> known = KnownProcess(info.process)) {
    info.process = *known;
  } else {
    info.process.incarnation = id;
    pid_holders_[info.process.pid] = info.process;
  }
  ProcessRecord& process = processes_[info.process];
  PodRecord& pod = pods_[info.pod_cgroup_uid];
  pod.uid = info.pod_cgroup_uid;
  pod.clients.insert(id);
  if (process.clients.empty()) {
    process.regions.CountFor(&pod.usage.regions);
    process.grants.CountFor(&pod.usage.grants);
    process.attaches.CountFor(&pod.usage.attaches);
    process.subscriptions.CountFor(&pod.usage.subscriptions);
  }
  process.clients.insert(id);
  Client& client = clients_[id];
  client.info = std::move(info);
  client.pod = &pod;
  client.process = &process;
  return id;
}

size_t ShareRegistry::ClientsOf(const ProcessKey& process) const {
  const std::optional<ProcessKey> known = KnownProcess(process);
  return known ? processes_.at(*known).clients.size() : 0;
}

void ShareRegistry::Disconnect(ClientId id) {
  Client& client = Known(id);
  client.connected = false;
  client.disconnected = clock_.Now();
  EndSubscriptionsOf(id);
  // Nobody is left to answer.
  while (!client.attaches.empty()) EndAttach(*client.attaches.begin(), "importer_gone");
  DropHeldPublishes(id);
  JudgeUnanswered(id);
  ReleasePeersHeld(id, true);
  PauseRotationsOf(id);
  if (!client.regions.empty() || !client.grants.empty()) {
    client.grace =
        deadlines_.Add(clock_.Now() + limits_.disconnect_grace, [this, id] { WithdrawAll(id); });
  }
  ForgetUnlessClaiming(id);
  OnChange();
}

void ShareRegistry::Remove(ClientId id) {
  Client& client = Known(id);
  client.connected = false;
  EndSubscriptionsOf(id);
  while (!client.attaches.empty()) EndAttach(*client.attaches.begin(), "importer_gone");
  DropHeldPublishes(id);
  ReleasePeersHeld(id, true);
  while (!client.grants.empty()) EndGrant(*client.grants.begin());
  while (!client.regions.empty()) DropExporter(regions_.at(*client.regions.begin()));
  const ProcessKey process = client.info.process;
  DropClient(id);
  AwaitedEnded(process);
  OnChange();
}

// The region's memory is gone for its importers. The grants stay: each still has to close its dead
// mapping.
void ShareRegistry::DropExporter(Region& region) {
  CloseRegion(region, WithdrawReason::kExporterGone, 0);
  if (region.key->rotation) EndRotation(*region.key, "exporter_gone");
  LetGoOf(std::set<GrantId>(region.grants));
  region.key->listed_before = 0;
  EraseIfDrained(region.id);
}

void ShareRegistry::ForgetUnlessClaiming(ClientId id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;  // forgotten already
  const Client& client = found->second;
  if (client.connected || !client.regions.empty() || !client.grants.empty()) return;
  DropClient(id);
  context_.Forget(id);
}

void ShareRegistry::DropClient(ClientId id) {
  const auto found = clients_.find(id);
  deadlines_.Cancel(found->second.grace);
  deadlines_.Cancel(found->second.peers_held_deadline);
  ahead_.erase(id);
  const auto process = processes_.find(found->second.info.process);
  process->second.clients.erase(id);
  if (process->second.clients.empty()) {
    const auto holder = pid_holders_.find(process->first.pid);
    if (holder != pid_holders_.end() && holder->second == process->first) {
      pid_holders_.erase(holder);
    }
    processes_.erase(process);
  }
  PodRecord& pod = *found->second.pod;
  pod.clients.erase(id);
  DropPodIfUnused(pod);
  clients_.erase(found);
}

void ShareRegistry::DropPodIfUnused(PodRecord& pod) {
  if (pod.clients.empty() && pod.listed_on.empty() && pod.exported.regions == 0) {
    pods_.erase(std::string(pod.uid));
  }
}

void ShareRegistry::Refuse(ClientId client, RequestId request_id, const Refusal& refusal) {
  metrics_.CountDenial(refusal.status);
  Send(client, NewRefused(request_id, refusal, Known(client).info.speaks_minor));
  context_.OnRefused(client, refusal);
}

void ShareRegistry::OnChange() {
  TellSubscribers();
  metrics_.SetRegions(regions_.size());
  metrics_.SetGrants(grants_.size());
  metrics_.SetWaitingAttaches(attaches_.size());
  metrics_.SetWaitingWhitelistCalls(asked_);
  metrics_.SetRevokedMappings(revoked_);
  metrics_.SetRotatingKeys(rotating_);
  metrics_.SetSubscriptions(subscriptions_.size());
}

void ShareRegistry::Publish(ClientId id, const GroupKey& group, const wire::Publish& request) {
  if (hold_new_) return HoldPublish(id, group, request);
  Client& client = Known(id);
  const RegionName name{group, std::string(Text(request.name))};
  if (const std::optional<Refusal> refusal = CheckPublish(id, name, request)) {
    return Refuse(id, request.header.request_id, *refusal);
  }
  Region& region = AddRegion(id, name, request);
  region.generation = generations_.Next(name);
  GiveName(region);

  auto answer = NewMessage<wire::Published>(MessageType::kPublished, request.header.request_id);
  answer.region_id = region.id;
  answer.generation = region.generation;
  spdlog::info(
      "region published: region={} name={} generation={} pod={} container={} pid={} "
      "claimed_device={} bytes={}",
      region.id, name.Text(), region.generation, client.info.PodFullName(),
      client.info.container_name.empty() ? client.info.container_id : client.info.container_name,
      client.info.process.pid, region.device, region.allocation_bytes);
  Send(id, answer);
  if (region.key->kind == wire::HandleKind::kOpenIpcKey) {
    spdlog::warn("any process of the node can import the region, pid validation is off: region={}",
                 region.id);
  }
  BindClaims(region);
  WakeWaiting(name);
  OnChange();
}

template <class M>
ShareRegistry::Region& ShareRegistry::AddRegion(ClientId exporter, const RegionName& name,
                                                const M& request) {
  Client& client = Known(exporter);
  Region region;
  region.id = next_id_++;
  region.name = name;
  region.exporter = exporter;
  region.key = KeyOf(client, request);
  region.generation = 0;
  region.device = request.claimed_physical_device;
  region.allocation_bytes = request.allocation_bytes;
  region.view_offset = request.view_offset;
  region.view_bytes = request.view_bytes;
  region.since = clock_.Now();
  client.regions.insert(region.id);
  region.key->regions.insert(region.id);
  ++RecordOf(client).regions;
  ++client.pod->exported.regions;
  ++exported_.regions;
  RevokeModeOf(*client.pod);
  if (client.info.pod_namespace != name.group.pod_namespace) {
    guest_regions_[name.group.pod_namespace].insert(region.id);
  }
  const RegionId id = region.id;
  return regions_.emplace(id, std::move(region)).first->second;
}

template std::optional<Refusal> ShareRegistry::CheckExport(const Client&,
                                                           const wire::ReclaimRegion&);
template ShareRegistry::Region& ShareRegistry::AddRegion(ClientId, const RegionName&,
                                                         const wire::ReclaimRegion&);

std::optional<Refusal> ShareRegistry::CheckLimit(const Count& count, size_t own, size_t of_pod,
                                                 std::string_view of_what,
                                                 std::string_view setting) {
  if (!AtLimit(count, own, of_pod)) return std::nullopt;
  const std::string name(setting);
  return Refusal{Status::kLimit, "this process has " + std::to_string(count) + " " +
                                     std::string(of_what) + " (client." + name + ") and its pod " +
                                     std::to_string(count.of_pod()) + " (pod." + name +
                                     "); one of the two is at its limit"};
}

std::optional<Refusal> ShareRegistry::CheckRegions(const Client& client) {
  return CheckLimit(RecordOf(client).regions, limits_.regions, limits_.pod.regions, "regions",
                    "maxRegions");
}

std::optional<Refusal> ShareRegistry::CheckPublish(ClientId id, const RegionName& name,
                                                   const wire::Publish& request) {
  if (auto refusal = context_.CheckRight(id, name.group, ShareRight::kExport)) return refusal;
  if (!wire::IsIpcKey(request.handle_kind)) {
    return Refusal{Status::kUnsupported,
                   "only memory exported by key (aclrtIpcMemGetExportKey) can be published; other "
                   "handles are not supported yet"};
  }
  if (auto refusal = CheckKeyName(request)) return refusal;
  if (auto refusal = CheckRegions(Known(id))) return refusal;
  if (auto refusal = CheckUsage(Known(id), request)) return refusal;
  const auto holder = names_.find(name);
  if (holder != names_.end()) {
    const ClientInfo& exporter = Known(regions_.at(holder->second).exporter).info;
    return Refusal{Status::kNameTaken,
                   "region '" + name.name + "' of group " + name.group.Text() +
                       " is published already, by pod " + exporter.PodFullName() + " (host pid " +
                       std::to_string(exporter.process.pid) +
                       "); use another name, or wait until that process withdraws it or ends"};
  }
  if (const ProcessKey* const exporter = NameKeptFrom(id, name)) {
    return Refusal{Status::kNameTaken,
                   "region '" + name.name + "' of group " + name.group.Text() +
                       " is kept for the process that published it before the broker was restarted "
                       "(host pid " +
                       std::to_string(exporter->pid) +
                       "), which has not come back yet; use another name, or try again when it has "
                       "ended or client.disconnectGrace is over"};
  }
  return CheckExport(Known(id), request);
}

template <class M>
std::optional<Refusal> ShareRegistry::CheckExport(const Client& client, const M& request) {
  const ClientInfo& exporter = client.info;
  // One that is being renewed, or was when the request was sent, may be gone from the records.
  const std::map<Handle, SharedKey>& keys = RecordOf(client).keys;
  const auto known = keys.find(HandleOf(request.handle));
  if (known != keys.end() && (known->second->rotation || known->second->handle != known->first)) {
    return std::nullopt;
  }
  const auto contradiction = context_.Contradiction(
      driver_records::ExportClaim{KeyText(request.handle), exporter.process.pid,
                                  request.claimed_physical_device, request.allocation_bytes});
  if (!contradiction) return std::nullopt;
  ReportContradiction(client, "export", *contradiction);
  return Refusal{Status::kClaimContradicted,
                 *contradiction +
                     "; publish what this very process has exported, with its "
                     "device and its whole length"};
}

void ShareRegistry::ReportContradiction(const Client& client, const char* of_what,
                                        const std::string& reason) {
  const auto left_out = client.pod->refusal_lines.Next(clock_.Now());
  if (!left_out) return;
  spdlog::warn("{} claimed that the driver contradicts: pod={} container={} pid={} reason={}{}",
               of_what, client.info.PodFullName(), client.info.container_name,
               client.info.process.pid, reason, LeftOutText(*left_out));
}

// An allocation counts once, however many names it has.
std::optional<Refusal> ShareRegistry::CheckUsage(const Client& client,
                                                 const wire::Publish& request) {
  const std::map<Handle, SharedKey>& keys = RecordOf(client).keys;
  const auto known = keys.find(HandleOf(request.handle));
  if (known == keys.end()) {
    return context_.CheckExport(client.pod->uid, request.allocation_bytes, client.pod->exported,
                                exported_);
  }
  if (known->second->allocation_bytes != request.allocation_bytes) {
    return Refusal{Status::kMalformed, "this process has published the allocation with " +
                                           std::to_string(known->second->allocation_bytes) +
                                           " bytes before, now with " +
                                           std::to_string(request.allocation_bytes)};
  }
  return context_.CheckExport(client.pod->uid, 0, client.pod->exported, exported_);
}

template <class M>
ShareRegistry::SharedKey ShareRegistry::KeyOf(Client& client, const M& request) {
  SharedKey& key = RecordOf(client).keys[HandleOf(request.handle)];
  if (key != nullptr) return key;
  key = std::make_shared<ExportedKey>();
  key->kind = request.handle_kind;
  key->handle = HandleOf(request.handle);
  key->process = client.info.process;
  key->pod = client.pod;
  key->allocation_bytes = request.allocation_bytes;
  key->pod->exported.bytes += key->allocation_bytes;
  exported_.bytes += key->allocation_bytes;
  return key;
}

// Its last name has gone.
void ShareRegistry::EndKey(const SharedKey& key) {
  Unlist(*key);
  key->pod->exported.bytes -= key->allocation_bytes;
  exported_.bytes -= key->allocation_bytes;
  std::map<Handle, SharedKey>& keys = processes_.at(key->process).keys;
  for (const Handle& handle : key->former_handles) keys.erase(handle);
  keys.erase(key->handle);
}

void ShareRegistry::WakeWaiting(const RegionName& name) {
  const auto found = waiting_.find(name);
  if (found == waiting_.end()) return;
  // A copy: trying takes them off the list, or puts them back.
  const std::vector<AttachId> attaches(found->second.begin(), found->second.end());
  for (const AttachId attach : attaches) {
    if (attaches_.contains(attach)) TryAttach(attach);
  }
}

void ShareRegistry::Withdraw(ClientId id, const wire::Withdraw& request) {
  const RequestId request_id = request.header.request_id;
  const auto found = regions_.find(request.region_id);
  if (found == regions_.end() || found->second.exporter != id) {
    if (found != regions_.end() || request.region_id == 0 || request.region_id >= next_id_) {
      return Refuse(id, request_id,
                    {Status::kNotFound,
                     "this client has no region with the id " + std::to_string(request.region_id)});
    }
    // Asked again after kStillHeld, and the last importer has closed since: done.
    return AnswerWithdraw(id, request.region_id, request_id);
  }
  Region& region = found->second;
  if (region.pending_withdraw) {
    return Refuse(id, request_id,
                  {Status::kLimit, "a withdraw of region " + region.name.Text() +
                                       " is waiting for its importers already"});
  }
  region.given_up = true;
  CloseRegion(region, WithdrawReason::kWithdrawn, request.drain_milliseconds);
  const bool held = !region.grants.empty() || ImportersMayComeBack(region);
  if (!held || request.drain_milliseconds == 0) {
    const RegionId region_id = region.id;
    AnswerWithdraw(id, region_id, request_id);
    EraseIfDrained(region_id);
  } else {
    const RegionId region_id = region.id;
    region.pending_withdraw = {
        request_id, deadlines_.Add(clock_.Now() + Milliseconds(request.drain_milliseconds),
                                   [this, id, region_id, request_id] {
                                     regions_.at(region_id).pending_withdraw.reset();
                                     AnswerWithdraw(id, region_id, request_id);
                                   })};
  }
  OnChange();
}

// Gives the name free, sends those who were being admitted back to wait, and tells every importer.
void ShareRegistry::CloseRegion(Region& region, WithdrawReason reason,
                                uint32_t drain_milliseconds) {
  if (!region.withdrawing) {
    region.withdrawing = true;
    FreeName(region);
    spdlog::info("region closed: region={} name={} reason={} grants={}", region.id,
                 region.name.Text(), ReasonName(reason), region.grants.size());
    const std::vector<AttachId> admitting(region.admitting.begin(), region.admitting.end());
    for (const AttachId attach_id : admitting) {
      PendingAttach& attach = attaches_.at(attach_id);
      StopAsking(attach);
      attach.exporter_went = true;
      TryAttach(attach_id);
    }
  }
  region.told = reason;
  for (const GrantId grant_id : region.grants) {
    const Grant& grant = grants_.at(grant_id);
    // Whoever lost the right to it keeps that reason, until the mapping is dead.
    if (grant.revoked && reason != WithdrawReason::kExporterGone) continue;
    SendWithdrawing(grant, reason, drain_milliseconds);
  }
}

void ShareRegistry::SendWithdrawing(const Grant& grant, WithdrawReason reason,
                                    uint32_t drain_milliseconds) {
  auto message = NewMessage<wire::Withdrawing>(MessageType::kWithdrawing, 0);
  message.grant_id = grant.id;
  const bool known =
      reason != WithdrawReason::kRotated || Known(grant.importer).info.speaks_minor >= 1;
  message.reason = known ? reason : WithdrawReason::kWithdrawn;
  message.drain_milliseconds = drain_milliseconds;
  Send(grant.importer, message);
}

// What a region's generation is now; 0: it is published no longer.
void ShareRegistry::TellExporter(const Region& region, uint64_t generation) {
  if (Known(region.exporter).info.speaks_minor < 1) return;
  auto message = NewMessage<wire::Republished>(MessageType::kRepublished, 0);
  message.region_id = region.id;
  message.generation = generation;
  Send(region.exporter, message);
}

// The mapping is dead: its importer still has to close it, the exporter has nothing to do with it
// any more. True where it was the exporter's last use of that peer access.
bool ShareRegistry::LetGoOfRegion(Grant& grant) {
  Region& region = regions_.at(grant.region);
  region.grants.erase(grant.id);
  --region.key->grants;
  if (grant.revoked) --revoked_;
  grant.exporter = 0;
  return peer_access_.Release(grant.exporter_process, grant.exporter_device, grant.importer_device);
}

// Says how it stands now. The region may be gone already: nobody holds it then.
void ShareRegistry::AnswerWithdraw(ClientId client, RegionId region_id, RequestId request_id) {
  auto answer = NewMessage<wire::Withdrawn>(MessageType::kWithdrawn, request_id);
  answer.region_id = region_id;
  answer.status = Status::kOk;
  const auto found = regions_.find(region_id);
  if (found != regions_.end() &&
      (!found->second.grants.empty() || ImportersMayComeBack(found->second))) {
    answer.status = Status::kStillHeld;
    answer.remaining = static_cast<uint32_t>(found->second.grants.size());
    PutText(answer.holders, Holders(found->second));
  }
  Send(client, answer);
}

std::string ShareRegistry::Holders(const Region& region) {
  if (region.grants.empty()) {
    return "the broker was restarted a moment ago, and importers may not have come back yet";
  }
  std::string text;
  for (const GrantId grant : region.grants) {
    const ClientInfo& importer = Known(grants_.at(grant).importer).info;
    const std::string holder = (text.empty() ? "" : ", ") + importer.PodFullName() + " (host pid " +
                               std::to_string(importer.process.pid) + ")";
    if (text.size() + holder.size() >= wire::kReasonBytes) break;
    text += holder;
  }
  return text;
}

// A withdrawn region's record goes with its last grant, and not before its key is renewed where
// that has begun; whoever waits for the grants is answered.
void ShareRegistry::EraseIfDrained(RegionId region_id) {
  Region& region = regions_.at(region_id);
  if (!region.withdrawing || !region.grants.empty() || ImportersMayComeBack(region)) return;
  const ClientId exporter = region.exporter;
  if (region.pending_withdraw) {
    deadlines_.Cancel(region.pending_withdraw->deadline);
    AnswerWithdraw(exporter, region_id, region.pending_withdraw->request_id);
    region.pending_withdraw.reset();
  }
  const SharedKey key = region.key;
  if (key->rotation) {
    if (key->rotation->asked != 0 || !IsGivenUp(*key)) return;
    EndRotation(*key, "withdrawn");
    return EraseDrained(*key);
  }
  Client& client = Known(exporter);
  client.regions.erase(region_id);
  --RecordOf(client).regions;
  --client.pod->exported.regions;
  --exported_.regions;
  const auto guests = guest_regions_.find(region.name.group.pod_namespace);
  if (guests != guest_regions_.end()) {
    guests->second.erase(region_id);
    if (guests->second.empty()) guest_regions_.erase(guests);
  }
  key->regions.erase(region_id);
  if (key->regions.empty()) EndKey(key);
  regions_.erase(region_id);
}

// The grace period of a process that lost its connection has ended.
void ShareRegistry::WithdrawAll(ClientId id) {
  const std::set<RegionId> regions = Known(id).regions;
  for (const RegionId region_id : regions) {
    if (!regions_.contains(region_id)) continue;  // gone with another name of its key
    CloseRegion(regions_.at(region_id), WithdrawReason::kWithdrawn, 0);
    EraseIfDrained(region_id);
  }
  EndLeftGrants(id);
  ForgetUnlessClaiming(id);
  OnChange();
}

}  // namespace npu_ipc::broker
