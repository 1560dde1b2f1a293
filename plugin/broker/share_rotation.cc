// ShareRegistry: keys that are closed and made anew.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::RotateReason;
using wire::Status;
using wire::WithdrawReason;

constexpr size_t kFormerHandles = 8;

uint32_t Milliseconds(Duration duration) {
  const auto count = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(count, 0, UINT32_MAX - 1));
}

const char* ReasonName(RotateReason reason) {
  switch (reason) {
    case RotateReason::kRevoked:
      return "revoked";
    case RotateReason::kWhitelistFull:
      return "whitelist full";
    case RotateReason::kTainted:
      return "tainted";
  }
  return "";
}

}  // namespace

// A name of the key whose exporter can be asked to rotate it.
const ShareRegistry::Region* ShareRegistry::RegionToRotate(const ExportedKey& key) const {
  for (const RegionId id : key.regions) {
    const Region& region = regions_.at(id);
    const Client& exporter = clients_.at(region.exporter);
    if (exporter.connected && exporter.info.speaks_minor >= 1) return &region;
  }
  return nullptr;
}

std::string ShareRegistry::DescribeKey(const ExportedKey& key) const {
  std::string names;
  std::string pod;
  for (const RegionId id : key.regions) {
    const Region& region = regions_.at(id);
    names += (names.empty() ? "" : ",") + region.name.Text();
    pod = clients_.at(region.exporter).info.PodFullName();
  }
  return "exporter=" + pod + " exporter_pid=" + std::to_string(key.process.pid) + " names=" + names;
}

std::set<GrantId> ShareRegistry::GrantsOf(const ExportedKey& key) const {
  std::set<GrantId> grants;
  for (const RegionId id : key.regions) {
    const std::set<GrantId>& of_region = regions_.at(id).grants;
    grants.insert(of_region.begin(), of_region.end());
  }
  return grants;
}

// Runs `task` then, if the key is there still.
Deadlines::Id ShareRegistry::AddDeadline(const SharedKey& key, Duration after,
                                         std::function<void(const SharedKey&)> task) {
  return deadlines_.Add(clock_.Now() + after,
                        [this, weak = std::weak_ptr<ExportedKey>(key), task = std::move(task)] {
                          if (const SharedKey still = weak.lock()) task(still);
                          OnChange();
                        });
}

// Not within the call that found it out: that one is in the middle of what a rotation changes.
void ShareRegistry::RotateSoon(const SharedKey& key, RotateReason reason) {
  key->rotate_when_idle = false;
  AddDeadline(key, Duration(0),
              [this, reason](const SharedKey& still) { StartRotation(still, reason); });
}

void ShareRegistry::StartRotation(const SharedKey& key, RotateReason reason) {
  key->rotate_when_idle = false;
  if (key->rotation || key->regions.empty()) return;
  const bool connected = std::any_of(key->regions.begin(), key->regions.end(), [this](RegionId id) {
    return Known(regions_.at(id).exporter).connected;
  });
  if (connected && RegionToRotate(*key) == nullptr) {
    metrics_.CountRotation("unsupported");
    spdlog::warn("key not rotated, its exporter's library is too old for it: {} reason={}",
                 DescribeKey(*key), ReasonName(reason));
    return;
  }
  key->rotation.emplace();
  key->rotation->id = next_id_++;
  key->rotation->reason = reason;
  ++rotating_;
  std::set<AttachId> admitting;
  for (const RegionId id : key->regions) {
    const Region& region = regions_.at(id);
    admitting.insert(region.admitting.begin(), region.admitting.end());
    if (region.withdrawing) continue;
    for (const GrantId grant_id : region.grants) {
      const Grant& grant = grants_.at(grant_id);
      if (!grant.revoked) {
        SendWithdrawing(grant, WithdrawReason::kRotated, Milliseconds(limits_.rotate_drain));
      }
    }
  }
  for (const AttachId attach : admitting) {
    StopAsking(attaches_.at(attach));
    TryAttach(attach);  // waits
  }
  spdlog::info("key rotation begins: {} reason={} grants={} listed={}", DescribeKey(*key),
               ReasonName(reason), key->grants, key->listings.size());
  const Duration drain = key->grants == 0 ? Duration(0) : limits_.rotate_drain;
  key->rotation->deadline =
      AddDeadline(key, drain, [this](const SharedKey& still) { AskToRotate(still); });
}

// The last importer has closed before the drain time's end.
void ShareRegistry::AskSoonIfDrained(ExportedKey& key) {
  if (!key.rotation || key.rotation->asked != 0 || key.rotation->paused || key.grants > 0) return;
  const SharedKey shared = processes_.at(key.process).keys.at(key.handle);
  deadlines_.Cancel(key.rotation->deadline);
  key.rotation->deadline =
      AddDeadline(shared, Duration(0), [this](const SharedKey& still) { AskToRotate(still); });
}

void ShareRegistry::AskToRotate(const SharedKey& key) {
  const Region* const region = RegionToRotate(*key);
  if (region == nullptr) return PauseRotation(key);
  KeyRotation& rotation = *key->rotation;
  rotation.asked = region->exporter;
  rotations_.emplace(rotation.id, key);
  rotation.deadline = AddDeadline(key, limits_.rotate_deadline, [this](const SharedKey& still) {
    FailRotation(still, "timed_out", "the exporter did not answer in time");
  });
  auto message = NewMessage<wire::Rotate>(MessageType::kRotate, rotation.id);
  message.region_id = region->id;
  message.reason = rotation.reason;
  SetDeadline(message, clock_.Now() + limits_.rotate_deadline, clock_.Now(),
              Known(region->exporter).info.speaks_minor);
  Send(region->exporter, message);
}

void ShareRegistry::Rotated(ClientId id, const wire::Rotated& answer) {
  const auto found = rotations_.find(answer.header.request_id);
  if (found == rotations_.end() || found->second->rotation->asked != id) {
    spdlog::debug("rotation that nobody waits for: region={}", answer.region_id);
    return;
  }
  const SharedKey key = found->second;
  const Handle handle = HandleOf(answer.handle);
  if (answer.status == Status::kNotFound && IsGivenUp(*key)) {
    EndRotation(*key, "withdrawn");
    EraseDrained(*key);
  } else if (answer.status != Status::kOk) {
    // kExporterGone: the old key is closed, and there is no new one.
    FailRotation(key, "failed",
                 "the exporter could not (" + std::string(StatusName(answer.status)) +
                     ", vendor code " + std::to_string(answer.vendor_code) + ")",
                 answer.status == Status::kExporterGone);
  } else if (processes_.at(key->process).keys.contains(handle)) {
    FailRotation(key, "failed", "the exporter gave a key that it had before");
  } else if (const auto contradiction = Contradiction(*key, handle)) {
    FailRotation(key, "failed", *contradiction);
  } else {
    FinishRotation(key, handle);
  }
  OnChange();
}

// Where the driver's own records say otherwise of the key that a rotation gave.
std::optional<std::string> ShareRegistry::Contradiction(const ExportedKey& key,
                                                        const Handle& handle) {
  return context_.Contradiction(
      driver_records::ExportClaim{KeyText(handle), key.process.pid,
                                  regions_.at(*key.regions.begin()).device, key.allocation_bytes});
}

void ShareRegistry::EndRotation(ExportedKey& key, std::string_view result) {
  metrics_.CountRotation(result);
  deadlines_.Cancel(key.rotation->deadline);
  rotations_.erase(key.rotation->id);
  key.rotation.reset();
  --rotating_;
}

void ShareRegistry::FinishRotation(const SharedKey& key, const Handle& handle) {
  const std::set<GrantId> dead = GrantsOf(*key);
  std::map<Handle, SharedKey>& keys = processes_.at(key->process).keys;
  key->former_handles.push_back(key->handle);
  if (key->former_handles.size() > kFormerHandles) {
    keys.erase(key->former_handles.front());
    key->former_handles.erase(key->former_handles.begin());
  }
  key->handle = handle;
  keys.emplace(handle, key);
  Unlist(*key);
  key->listed_before = 0;
  EndRotation(*key, "ok");
  spdlog::info("key rotated: {} ended_mappings={}", DescribeKey(*key), dead.size());

  const std::set<RegionId> regions = key->regions;
  for (const RegionId region : regions) {
    if (Republish(region)) WakeWaiting(regions_.at(region).name);
  }
  // After those who wait: they may need the same peer access again.
  LetGoOf(dead);
  EraseDrained(*key);
}

// False where it is withdrawn, or has to be.
bool ShareRegistry::Republish(RegionId id) {
  Region& region = regions_.at(id);
  if (region.withdrawing) return false;
  if (const auto refusal =
          context_.CheckRight(region.exporter, region.name.group, ShareRight::kExport)) {
    Keys done_already;
    RevokeRegion(region, *refusal, &done_already);
    return false;
  }
  region.former_generation = region.generation;
  region.generation = generations_.Next(region.name);
  names_.NoteRenewal(region.name, id);
  TellExporter(region, region.generation);
  spdlog::info("region published again: region={} name={} generation={}", region.id,
               region.name.Text(), region.generation);
  return true;
}

void ShareRegistry::LetGoOf(const std::set<GrantId>& grants) {
  for (const GrantId id : grants) {
    Grant& grant = grants_.at(id);
    const ClientId exporter = grant.exporter;
    if (LetGoOfRegion(grant)) {
      SendPeerRelease(exporter, grant.exporter_device, grant.importer_device);
    }
  }
}

// Nobody knows who can reach the memory now: its names are given up, which whoever holds them is
// told. With `key_closed` that much is known: nobody can.
void ShareRegistry::FailRotation(const SharedKey& key, std::string_view result,
                                 const std::string& reason, bool key_closed) {
  metrics_.CountLostRegions(key->regions.size());
  spdlog::error("key rotation failed, its regions are lost: {} reason={}", DescribeKey(*key),
                reason);
  EndRotation(*key, result);
  const std::set<RegionId> regions = key->regions;
  for (const RegionId id : regions) {
    Region& region = regions_.at(id);
    const bool withdrawn_before = region.withdrawing;
    if (key_closed) {
      CloseRegion(region, WithdrawReason::kExporterGone, 0);
    } else if (!withdrawn_before) {
      CloseRegion(region, WithdrawReason::kWithdrawn, 0);
    }
    if (!withdrawn_before) TellExporter(region, 0);
  }
  if (key_closed) LetGoOf(GrantsOf(*key));
  EraseDrained(*key);
}

// Its program closes it without being asked to.
bool ShareRegistry::IsGivenUp(const ExportedKey& key) const {
  return key.grants == 0 && std::all_of(key.regions.begin(), key.regions.end(),
                                        [this](RegionId id) { return regions_.at(id).given_up; });
}

void ShareRegistry::EraseDrained(const ExportedKey& key) {
  const std::set<RegionId> regions = key.regions;
  for (const RegionId region : regions) {
    const ClientId exporter = regions_.at(region).exporter;
    EraseIfDrained(region);
    ForgetUnlessClaiming(exporter);
  }
}

// The exporter has no connection, and has as long to come back as its regions live without one.
void ShareRegistry::PauseRotation(const SharedKey& key) {
  KeyRotation& rotation = *key->rotation;
  rotations_.erase(rotation.id);
  rotation.asked = 0;
  rotation.paused = true;
  deadlines_.Cancel(rotation.deadline);
  rotation.deadline = AddDeadline(key, limits_.disconnect_grace, [this](const SharedKey& still) {
    FailRotation(still, "exporter_gone", "the exporter has lost its connection");
  });
}

// The client has lost its connection: its answers will not come.
void ShareRegistry::PauseRotationsOf(ClientId id) {
  Keys asked;
  for (const RegionId region : Known(id).regions) {
    const SharedKey& key = regions_.at(region).key;
    if (key->rotation && key->rotation->asked == id) asked.insert(key);
  }
  for (const SharedKey& key : asked) PauseRotation(key);
}

// The exporter is back, with the key that it had: what it was asked for it has not done.
void ShareRegistry::ResumeRotation(const SharedKey& key) {
  KeyRotation& rotation = *key->rotation;
  rotation.paused = false;
  rotation.id = next_id_++;
  deadlines_.Cancel(rotation.deadline);
  rotation.deadline =
      AddDeadline(key, Duration(0), [this](const SharedKey& still) { AskToRotate(still); });
}

// The region that the client claims under a key which is not known, where its process was asked to
// renew the region's key, and its answer was lost with the connection. Else nullptr.
ShareRegistry::Region* ShareRegistry::FindRenewedMeanwhile(ClientId id, const RegionName& name,
                                                           const wire::ReclaimRegion& claim) {
  const std::map<Handle, SharedKey>& keys = RecordOf(Known(id)).keys;
  if (keys.contains(HandleOf(claim.handle))) return nullptr;
  for (const auto& [handle, key] : keys) {
    if (!key->rotation || !key->rotation->paused || handle != key->handle) continue;
    if (key->allocation_bytes != claim.allocation_bytes) continue;
    for (const RegionId region_id : key->regions) {
      Region& region = regions_.at(region_id);
      if (region.name == name && region.generation == claim.generation &&
          region.device == claim.claimed_physical_device && !Known(region.exporter).connected) {
        return &region;
      }
    }
  }
  return nullptr;
}

}  // namespace npu_ipc::broker
