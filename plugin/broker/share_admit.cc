// ShareRegistry: whitelistings that exporters are asked for.
#include <spdlog/spdlog.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::Status;

// What an exporter may say of a whitelisting that failed; anything else is its failure.
Status FailureOf(Status admitted) {
  switch (admitted) {
    case Status::kPeerLimit:
    case Status::kUnreachable:
    case Status::kTimedOut:
      return admitted;
    default:
      return Status::kExporterFailed;
  }
}

}  // namespace

void ShareRegistry::Ask(PendingAttach& attach, Region& region) {
  const TimePoint now = clock_.Now();
  TimePoint deadline = now + limits_.admit_deadline;
  if (attach.wait_ends) deadline = std::min(deadline, *attach.wait_ends);
  if (deadline <= now) return WaitEnded(attach.id);

  Client& exporter = Known(region.exporter);
  const ProcessKey& importer = Known(attach.client).info.process;
  const auto waiting = waiting_.find(attach.name);
  if (waiting != waiting_.end()) {
    waiting->second.erase(attach.id);
    if (waiting->second.empty()) waiting_.erase(waiting);
  }
  attach.region = region.id;
  attach.admit_deadline =
      deadlines_.Add(deadline, [this, attach_id = attach.id] { AdmitTimedOut(attach_id); });
  region.admitting.insert(attach.id);
  ++region.key->admitting;
  ++exporter.asked;
  ++asked_;
  List(*region.key, Known(attach.client));
  NoteAsked(attach, region);
  peer_access_.Use(exporter.info.process, region.device, attach.device);

  auto admit = NewMessage<wire::Admit>(MessageType::kAdmit, attach.id);
  admit.region_id = region.id;
  admit.importer_host_pid = importer.pid;
  admit.importer_physical_device = attach.device;
  SetDeadline(admit, deadline, now, exporter.info.speaks_minor);
  admit.enable_peer_access = region.device != attach.device ? 1 : 0;
  spdlog::debug("exporter asked: region={} name={} exporter_pid={} importer_pid={}", region.id,
                region.name.Text(), exporter.info.process.pid, importer.pid);
  Send(region.exporter, admit);
}

// Undoes Ask(): the exporter has answered, or no answer is waited for any more.
void ShareRegistry::StopAsking(PendingAttach& attach) {
  if (attach.region == 0) return;
  Region& region = regions_.at(attach.region);
  Client& exporter = Known(region.exporter);
  region.admitting.erase(attach.id);
  if (--region.key->admitting == 0 && region.key->rotate_when_idle) {
    RotateSoon(region.key, wire::RotateReason::kWhitelistFull);
  }
  --exporter.asked;
  --asked_;
  attach.region = 0;
  deadlines_.Cancel(std::exchange(attach.admit_deadline, 0));
  ReleasePeer(region.exporter, exporter.info.process, region.device, attach.device);
}

void ShareRegistry::AdmitTimedOut(AttachId attach_id) {
  PendingAttach& attach = attaches_.at(attach_id);
  metrics_.CountWhitelistCall(Status::kTimedOut);
  StopAsking(attach);
  TryAttach(attach_id);  // asks again, unless the wait has ended too
  OnChange();
}

// What the exporter may have listed from now on, whether or not anybody waits for its answer. It
// drops what comes late, so that not all is answered.
void ShareRegistry::NoteAsked(const PendingAttach& attach, const Region& region) {
  std::map<AdmitId, AskedListing>& admits = RecordOf(Known(region.exporter)).admits;
  if (admits.size() >= limits_.whitelist) admits.erase(admits.begin());
  AskedListing& asked = admits[{attach.id, region.id}];
  asked.key = region.key;
  asked.handle = region.key->handle;
  asked.importer = Known(attach.client).info.process;
  asked.over = region.exporter;
  ++asked.times;
}

bool ShareRegistry::Lives(const ProcessKey& process) const {
  const auto found = processes_.find(process);
  return found != processes_.end() && context_.ProcessAlive(*found->second.clients.begin());
}

void ShareRegistry::Admitted(ClientId id, const wire::Admitted& answer) {
  // Noted whether or not anybody waits for it still: the driver has it on its list.
  const bool listed = NoteAnswer(id, answer);
  const auto found = regions_.find(answer.region_id);
  if (found == regions_.end() || found->second.exporter != id) {
    spdlog::debug("whitelisting of a region that is gone: region={}", answer.region_id);
    return;
  }
  Region& region = found->second;
  metrics_.CountWhitelistCall(answer.status);

  const auto pending = attaches_.find(answer.header.request_id);
  if (pending == attaches_.end() || pending->second.region != region.id ||
      Known(pending->second.client).info.process.pid != answer.importer_host_pid) {
    spdlog::debug("whitelisting that nobody waits for: region={} pid={}", region.id,
                  answer.importer_host_pid);
    return ReleaseAgain(region, answer.importer_physical_device);
  }
  const AttachId attach_id = pending->first;
  if (listed) {
    // Policy may have changed while the exporter was asked.
    const std::optional<Refusal> refusal = CheckAttach(pending->second, region);
    refusal ? RefuseAttach(attach_id, *refusal) : GiveGrant(attach_id, region);
  } else if (answer.status == Status::kOk) {
    RefuseAttach(attach_id, {Status::kInternal, "the importing process has ended"});
  } else {
    const ClientInfo& exporter = Known(id).info;
    std::string reason = "the exporter, " + exporter.Description() +
                         ", could not whitelist this process (" +
                         std::string(StatusName(answer.status)) + ", vendor code " +
                         std::to_string(answer.vendor_code) + ")";
    const uint32_t device = pending->second.device;
    if (answer.status == Status::kUnreachable &&
        context_.ReachBetween(region.device, device).answer ==
            device_view::Reachability::kUnknown) {
      reason += "; topology unknown: no device view says how devices " +
                std::to_string(region.device) + " and " + std::to_string(device) + " are linked";
    }
    RefuseAttach(attach_id, {FailureOf(answer.status), reason, answer.vendor_code});
  }
  OnChange();
}

// The exporter has answered after it was given up on, and was told to release the pair then. It may
// have enabled the pair after that.
void ShareRegistry::ReleaseAgain(const Region& region, uint32_t peer) {
  const ProcessKey& exporter = Known(region.exporter).info.process;
  if (peer == region.device || peer_access_.InUse(exporter, region.device, peer)) return;
  SendPeerRelease(region.exporter, region.device, peer);
}

// True where the driver lists a process now that is the one that was meant, alive, on the key that
// was meant; else the key is tainted: whoever got that pid before it was listed could import. It is
// the process of this very Admit that counts: its pid may be another member's by now, and have been
// a stranger's in between.
bool ShareRegistry::NoteAnswer(ClientId id, const wire::Admitted& answer) {
  std::map<AdmitId, AskedListing>& admits = RecordOf(Known(id)).admits;
  const auto found = admits.find({answer.header.request_id, answer.region_id});
  if (found == admits.end() || found->second.importer.pid != answer.importer_host_pid) {
    const auto region = regions_.find(answer.region_id);
    if (answer.status == Status::kOk && region != regions_.end() && region->second.exporter == id) {
      Taint(region->second.key, answer.importer_host_pid,
            "a process that the exporter was not asked to list");
    }
    return false;
  }
  const AskedListing asked = found->second;
  if (--found->second.times == 0) admits.erase(found);
  const SharedKey key = asked.key.lock();
  if (answer.status != Status::kOk || key == nullptr) return false;
  if (!Lives(asked.importer)) {
    Taint(key, asked.importer.pid, "a process that had ended");
    return false;
  }
  if (key->handle != asked.handle) {
    Taint(key, asked.importer.pid, "a process that was let in before it was renewed");
    return false;
  }
  key->listings.at(asked.importer.pid).listed = true;
  return true;
}

// The connection is lost over which the answers would have come: the exporter may have listed those
// that it was asked for, or may still do so until the last of them is too late. Whoever lives then
// was the one that was meant.
void ShareRegistry::JudgeUnanswered(ClientId id) {
  const ProcessKey exporter = Known(id).info.process;
  const std::map<AdmitId, AskedListing>& admits = RecordOf(Known(id)).admits;
  const bool any = std::any_of(admits.begin(), admits.end(),
                               [id](const auto& admit) { return admit.second.over == id; });
  if (!any) return;
  deadlines_.Add(clock_.Now() + limits_.admit_deadline, [this, id, exporter] {
    const auto process = processes_.find(exporter);
    if (process == processes_.end()) return;  // its keys went with it
    std::vector<AskedListing> unanswered;
    std::erase_if(process->second.admits, [&](const auto& admit) {
      if (admit.second.over != id) return false;
      unanswered.push_back(admit.second);
      return true;
    });
    for (const AskedListing& asked : unanswered) {
      const SharedKey key = asked.key.lock();
      if (key == nullptr || key->handle != asked.handle || Lives(asked.importer)) continue;
      Taint(key, asked.importer.pid, "perhaps a process that had ended");
    }
    OnChange();
  });
}

}  // namespace npu_ipc::broker
