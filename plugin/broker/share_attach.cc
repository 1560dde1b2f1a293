// ShareRegistry: attaches and the grants that come of them.
#include <spdlog/spdlog.h>
#include <string.h>

#include <string>
#include <utility>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::Status;

const std::string& ContainerOf(const ClientInfo& info) {
  return info.container_name.empty() ? info.container_id : info.container_name;
}

}  // namespace

void ShareRegistry::Attach(ClientId id, const GroupKey& group, const wire::Attach& request) {
  const RequestId request_id = request.header.request_id;
  const RegionName name{group, std::string(Text(request.name))};
  if (request.header.type == MessageType::kAttachPublished && IsAbsent(name)) {
    return TellAbsent(id, name, request_id);
  }
  // At once, not only when the region is there: waiting would not help.
  const auto refusal = context_.CheckRight(id, group, ShareRight::kImport);
  if (refusal && !IsOfOwnPod(id, name)) {
    metrics_.CountAttach(StatusName(refusal->status));
    return Refuse(id, request_id, *refusal);
  }
  ProcessRecord& process = RecordOf(Known(id));
  if (AtLimit(process.attaches, limits_.pending_requests, limits_.pod.pending_requests) ||
      AtLimit(process.grants, limits_.grants, limits_.pod.grants)) {
    metrics_.CountAttach(StatusName(Status::kLimit));
    return Refuse(
        id, request_id,
        {Status::kLimit,
         "this process has " + std::to_string(process.attaches) +
             " attach requests waiting (client.maxPending) and " + std::to_string(process.grants) +
             " mappings (client.maxGrants), its pod " + std::to_string(process.attaches.of_pod()) +
             " (pod.maxPending) and " + std::to_string(process.grants.of_pod()) +
             " (pod.maxGrants); one of the four is at its limit"});
  }
  PendingAttach attach;
  attach.id = next_id_++;
  attach.client = id;
  attach.request_id = request_id;
  attach.name = name;
  attach.device = request.claimed_physical_device;
  attach.wait_milliseconds = request.wait_milliseconds;
  attach.published = request.header.type == MessageType::kAttachPublished;
  if (request.wait_milliseconds != UINT32_MAX) {  // that one waits without end
    attach.wait_ends = clock_.Now() + std::chrono::milliseconds(request.wait_milliseconds);
    if (attach.published && !hold_new_ && !names_.contains(name)) {
      const bool kept = NameKeptFor(name) != nullptr;
      attach.wait_ends =
          std::min(*attach.wait_ends, kept ? names_kept_until_ : started_ + limits_.reclaim_window);
    }
    attach.wait_deadline =
        deadlines_.Add(*attach.wait_ends, [this, attach_id = attach.id] { WaitEnded(attach_id); });
  }
  const AttachId attach_id = attach.id;
  Known(id).attaches.insert(attach_id);
  ++process.attaches;
  attaches_.emplace(attach_id, std::move(attach));
  TryAttach(attach_id);
  OnChange();
}

// Takes an attach that waits for a region as far as it gets.
void ShareRegistry::TryAttach(AttachId attach_id) {
  PendingAttach& attach = attaches_.at(attach_id);
  // Its pid may be another process' already, which must not be listed. Remove() follows.
  if (!context_.ProcessAlive(attach.client)) return Wait(attach);
  const auto named = names_.find(attach.name);
  if (hold_new_ || named == names_.end() || !Known(regions_.at(named->second).exporter).connected) {
    return Wait(attach);
  }
  Region& region = regions_.at(named->second);
  if (const std::optional<Refusal> refusal = CheckAttach(attach, region)) {
    return RefuseAttach(attach_id, *refusal);
  }
  if (WaitsForKey(attach, region)) return Wait(attach);
  const ProcessKey& importer = Known(attach.client).info.process;
  const ProcessKey& exporter = Known(region.exporter).info.process;
  const auto listing = region.key->listings.find(importer.pid);
  const bool listed = listing != region.key->listings.end() && listing->second.listed &&
                      listing->second.process == importer;
  // Whoever is listed may import until the key is gone; peer access may have ended meanwhile.
  const bool reachable =
      region.device == attach.device || peer_access_.InUse(exporter, region.device, attach.device);
  if (listed && reachable) return GiveGrant(attach_id, region);
  Ask(attach, region);
}

std::optional<Refusal> ShareRegistry::CheckAttach(const PendingAttach& attach,
                                                  const Region& region) {
  const Client& exporter = Known(region.exporter);
  auto refusal = context_.CheckRight(attach.client, attach.name.group, ShareRight::kImport);
  if (refusal && !IsOfOwnPod(attach.client, attach.name)) return refusal;
  refusal = context_.CheckRight(region.exporter, attach.name.group, ShareRight::kExport);
  if (refusal) {
    return Refusal{Status::kNotInGroup, "the exporter of '" + attach.name.name +
                                            "' may no longer share it: " + refusal->reason};
  }
  refusal =
      context_.CheckShare(exporter.pod->uid, Known(attach.client).pod->uid, attach.name.group);
  if (refusal) return refusal;
  const ProcessKey& importer = Known(attach.client).info.process;
  if (exporter.info.process == importer) {
    return Refusal{Status::kUnsupported,
                   "region '" + attach.name.name +
                       "' was published by this very process: use the pointer that it exported"};
  }
  const device_view::Reach reach = context_.ReachBetween(region.device, attach.device);
  if (reach.answer == device_view::Reachability::kNo) {
    return Refusal{Status::kUnreachable,
                   "device " + std::to_string(region.device) + " of the exporter and device " +
                       std::to_string(attach.device) + " of this process are linked by " +
                       hal::LinkTypeName(reach.link) +
                       ", which carries no peer access; only HCCS, HCCS_SW, SIO and UB do"};
  }
  if (!peer_access_.MayUse(exporter.info.process, region.device, attach.device) ||
      !peer_access_.MayUse(importer, attach.device, region.device)) {
    return Refusal{Status::kPeerLimit, std::to_string(PeerAccess::kMaxProcesses) +
                                           " processes use peer access between devices " +
                                           std::to_string(region.device) + " and " +
                                           std::to_string(attach.device) +
                                           " already, the driver's limit; end one of them"};
  }
  if (KeyIsFull(attach, region) && RegionToRotate(*region.key) == nullptr) {
    return Refusal{Status::kLimit, "the key of region '" + attach.name.name + "' lists " +
                                       std::to_string(limits_.whitelist) +
                                       " processes, the limit (share.maxWhitelist), and its "
                                       "exporter's library is too old to renew it; withdraw and "
                                       "publish it again"};
  }
  if (exporter.asked >= limits_.asked) {
    return Refusal{Status::kLimit, "the exporter, " + exporter.info.Description() + ", has " +
                                       std::to_string(limits_.asked) + " unanswered whitelistings"};
  }
  return std::nullopt;
}

bool ShareRegistry::KeyIsFull(const PendingAttach& attach, const Region& region) {
  return !region.key->listings.contains(Known(attach.client).info.process.pid) &&
         region.key->listings.size() + region.key->listed_before >= limits_.whitelist;
}

// True while the key is renewed, or has to be before one more process can be let in.
bool ShareRegistry::WaitsForKey(const PendingAttach& attach, const Region& region) {
  if (region.key->rotation) return true;
  if (!KeyIsFull(attach, region)) return false;
  // Those that were let in before get as far as a grant: else nobody ever would where more wait
  // than a key can list.
  if (region.key->admitting > 0) {
    region.key->rotate_when_idle = true;
  } else {
    RotateSoon(region.key, wire::RotateReason::kWhitelistFull);
  }
  return true;
}

void ShareRegistry::Wait(PendingAttach& attach) {
  const bool ended = attach.wait_ends && *attach.wait_ends <= clock_.Now();
  if (ended || (attach.published && IsAbsent(attach.name))) return WaitEnded(attach.id);
  waiting_[attach.name].insert(attach.id);
}

void ShareRegistry::WaitEnded(AttachId attach_id) {
  const PendingAttach& attach = attaches_.at(attach_id);
  const std::string region =
      "region '" + attach.name.name + "' of group " + attach.name.group.Text();
  if (hold_new_) {
    return RefuseAttach(attach_id,
                        {Status::kTimedOut, std::string(kNothingNewYet) + "; asked for " + region});
  }
  const std::string within = " within " + std::to_string(attach.wait_milliseconds) + " ms";
  const auto named = names_.find(attach.name);
  if (named != names_.end()) {
    const Region& found = regions_.at(named->second);
    const Client& exporter = Known(found.exporter);
    const bool renewing = found.key->rotation.has_value();
    return RefuseAttach(attach_id,
                        {Status::kTimedOut,
                         "the exporter of " + region + ", " + exporter.info.Description() +
                             (!exporter.connected ? ", has lost its connection to the broker and "
                                                    "did not come back"
                              : renewing          ? ", is renewing its key, and has not done so"
                                                  : ", did not whitelist this process") +
                             within});
  }
  if (const ProcessKey* const exporter = NameKeptFor(attach.name)) {
    return RefuseAttach(
        attach_id, {Status::kTimedOut,
                    "the exporter of " + region + " (host pid " + std::to_string(exporter->pid) +
                        ") has not come back since the broker was restarted" + within});
  }
  if (attach.exporter_went) {
    return RefuseAttach(attach_id, {Status::kExporterGone,
                                    "the exporter of " + region +
                                        " ended or withdrew it during the attach, and nobody "
                                        "published it again" +
                                        within});
  }
  if (attach.published && IsAbsent(attach.name)) {
    TellAbsent(attach.client, attach.name, attach.request_id);
    return EndAttach(attach_id, StatusName(Status::kNotFound));
  }
  if (attach.wait_milliseconds == 0) {
    return RefuseAttach(attach_id,
                        {Status::kNotFound, "no exporter on this node has published " + region});
  }
  RefuseAttach(attach_id,
               {Status::kTimedOut, "no exporter on this node published " + region + within});
}

void ShareRegistry::GiveGrant(AttachId attach_id, Region& region) {
  PendingAttach& attach = attaches_.at(attach_id);
  if (attach.subscription != 0) return AheadAdmitted(attach_id, region);
  Client& importer = Known(attach.client);
  const Client& exporter = Known(region.exporter);
  Grant grant;
  grant.id = next_id_++;
  grant.importer = attach.client;
  grant.exporter = region.exporter;
  grant.exporter_process = exporter.info.process;
  grant.region = region.id;
  grant.region_name = region.name.Text();
  grant.importer_device = attach.device;
  grant.exporter_device = region.device;
  grant.since = clock_.Now();
  // Before EndAttach() gives back what the asking used.
  peer_access_.Use(exporter.info.process, region.device, attach.device);
  peer_access_.Use(importer.info.process, attach.device, region.device);
  SendGrant(attach, region, grant.id);
  // After the importer has its answer: writing a line takes longer than all of the above.
  spdlog::info(
      "granted: grant={} region={} name={} generation={} pod={} container={} pid={} "
      "claimed_device={} exporter_pod={} exporter_container={} exporter_pid={} exporter_device={}",
      grant.id, region.id, region.name.Text(), region.generation, importer.info.PodFullName(),
      ContainerOf(importer.info), importer.info.process.pid, attach.device,
      exporter.info.PodFullName(), ContainerOf(exporter.info), exporter.info.process.pid,
      region.device);
  importer.grants.insert(grant.id);
  ++RecordOf(importer).grants;
  region.grants.insert(grant.id);
  ++region.key->grants;
  grants_.emplace(grant.id, std::move(grant));
  EndAttach(attach_id, "granted");
}

void ShareRegistry::SendGrant(const PendingAttach& attach, const Region& region, GrantId grant_id) {
  const ClientInfo& exporter = Known(region.exporter).info;
  auto message = NewMessage<wire::Grant>(MessageType::kGrant, attach.request_id);
  message.grant_id = grant_id;
  message.region_id = region.id;
  message.generation = region.generation;
  message.allocation_bytes = region.allocation_bytes;
  message.view_offset = region.view_offset;
  message.view_bytes = region.view_bytes;
  message.handle_kind = region.key->kind;
  message.exporter_physical_device = region.device;
  message.exporter_host_pid = exporter.process.pid;
  message.enable_peer_access = region.device != attach.device ? 1 : 0;
  memcpy(message.handle, region.key->handle.data(), sizeof(message.handle));
  PutText(message.exporter_namespace, exporter.pod_namespace);
  PutText(message.exporter_pod, exporter.pod_name);
  PutText(message.exporter_pod_uid, exporter.pod_uid);
  Send(attach.client, message);
}

void ShareRegistry::RefuseAttach(AttachId attach_id, const Refusal& refusal) {
  const PendingAttach& attach = attaches_.at(attach_id);
  if (attach.subscription != 0) return AheadEnded(attach_id);
  const ClientInfo& importer = Known(attach.client).info;
  if (const auto left_out = Known(attach.client).pod->refusal_lines.Next(clock_.Now())) {
    spdlog::info("attach refused: name={} pod={} container={} pid={} status={} reason={}{}",
                 attach.name.Text(), importer.PodFullName(), ContainerOf(importer),
                 importer.process.pid, StatusName(refusal.status), refusal.reason,
                 LeftOutText(*left_out));
  }
  Refuse(attach.client, attach.request_id, refusal);
  EndAttach(attach_id, StatusName(refusal.status));
}

void ShareRegistry::EndAttach(AttachId attach_id, std::string_view result) {
  const auto found = attaches_.find(attach_id);
  PendingAttach& attach = found->second;
  if (attach.subscription == 0) metrics_.CountAttach(result);
  StopAsking(attach);
  deadlines_.Cancel(attach.wait_deadline);
  const auto waiting = waiting_.find(attach.name);
  if (waiting != waiting_.end()) {
    waiting->second.erase(attach_id);
    if (waiting->second.empty()) waiting_.erase(waiting);
  }
  Client& client = Known(attach.client);
  client.attaches.erase(attach_id);
  if (attach.subscription == 0) --RecordOf(client).attaches;
  attaches_.erase(found);
}

void ShareRegistry::Imported(ClientId id, const wire::Imported& outcome) {
  const auto found = grants_.find(outcome.grant_id);
  if (found == grants_.end() || found->second.importer != id) return;
  if (outcome.status == Status::kOk) {
    found->second.imported = true;
    spdlog::debug("imported: grant={} name={}", outcome.grant_id, found->second.region_name);
    return;
  }
  spdlog::warn("import failed: grant={} name={} pid={} vendor_code={}", outcome.grant_id,
               found->second.region_name, Known(id).info.process.pid, outcome.vendor_code);
  EndGrant(outcome.grant_id);
  OnChange();
}

void ShareRegistry::Detached(ClientId id, const wire::Detached& outcome) {
  const auto found = grants_.find(outcome.grant_id);
  if (found == grants_.end() || found->second.importer != id) return;
  spdlog::info("detached: grant={} name={} pid={}", outcome.grant_id, found->second.region_name,
               Known(id).info.process.pid);
  EndGrant(outcome.grant_id);
  OnChange();
}

void ShareRegistry::EndGrant(GrantId grant_id) {
  Grant grant = std::move(grants_.at(grant_id));
  grants_.erase(grant_id);
  Client& importer = Known(grant.importer);
  importer.grants.erase(grant_id);
  --RecordOf(importer).grants;
  ReleasePeer(grant.importer, importer.info.process, grant.importer_device, grant.exporter_device);
  StopAwaiting(grant);
  if (grant.exporter == 0) return;
  ReleasePeer(grant.exporter, grant.exporter_process, grant.exporter_device, grant.importer_device);
  Region& region = regions_.at(grant.region);
  region.grants.erase(grant_id);
  --region.key->grants;
  if (grant.revoked) --revoked_;
  AskSoonIfDrained(*region.key);
  EraseIfDrained(grant.region);
  ForgetUnlessClaiming(grant.exporter);
}

void ShareRegistry::ReleasePeer(ClientId client, const ProcessKey& process, uint32_t own,
                                uint32_t peer) {
  if (peer_access_.Release(process, own, peer)) SendPeerRelease(client, own, peer);
}

void ShareRegistry::SendPeerRelease(ClientId client, uint32_t own, uint32_t peer) {
  auto release = NewMessage<wire::PeerRelease>(MessageType::kPeerRelease, 0);
  release.own_physical_device = own;
  release.peer_physical_device = peer;
  Send(client, release);
}

}  // namespace npu_ipc::broker
