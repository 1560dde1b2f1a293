// Who published what, who waits for it, who holds it: the broker's decisions, without a socket.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "hal/base/clock.h"
#include "plugin/broker/deadlines.h"
#include "plugin/broker/exported_key.h"
#include "plugin/broker/generations.h"
#include "plugin/broker/id_map.h"
#include "plugin/broker/messages.h"
#include "plugin/broker/metrics.h"
#include "plugin/broker/name_file.h"
#include "plugin/broker/peer_access.h"
#include "plugin/broker/region_names.h"
#include "plugin/broker/share_context.h"
#include "plugin/broker/share_limits.h"
#include "plugin/broker/share_records.h"
#include "plugin/broker/share_types.h"
#include "plugin/broker/subscriptions.h"
#include "plugin/driver_records/driver_records.h"

namespace npu_ipc::broker {

// One thread. Requests are answered through ShareContext::Send, at once or when RunDue() or a later
// call gets to it. No call looks at more than the regions, grants and waiting requests that it
// concerns.
//
// An attach whose exporter ends or withdraws meanwhile waits on for the next exporter of the name:
// whoever attaches with a wait wants the region, not a particular process. It is answered
// kExporterGone when its wait ends first.
//
// Claims of a process that lost its connection: after ShareLimits::disconnect_grace its regions are
// withdrawn, so that the names are free again. Its grants stay until the process ends: it may still
// have them mapped. A process that comes back claims both again (share_reclaim.cc), from this
// broker or, after a restart, from one that knows nothing of them but whose the names are
// (NameFile). Nothing else is recorded on a disk: a mapping is what its importer says once its
// exporter has said the same, the key included. Such a claim gives nobody anything, as the driver's
// whitelist is not touched; it makes known what there is.
//
// Taking a right back, when what allowed it has changed. An exporter's: its regions are withdrawn.
// An importer's: it is told, and nothing new is granted to it. Where the exporter's pod says
// `revoke: rotate`, the key is then rotated: importers get ShareLimits::rotate_drain to close, the
// exporter closes the key, which unmaps it everywhere, and exports the allocation again, and the
// regions get a higher generation; attaches wait meanwhile. A key is also rotated where its
// whitelist is full, and with `revoke: rotate` where a process is on it that was not meant. A
// rotation that fails loses the regions: nobody knows then who can reach them.
class ShareRegistry {
 public:
  friend class ShareSnapshotTaker;

  // `clock`, `context` and `metrics` must outlive the registry. `generation_floor`: generations.h.
  ShareRegistry(const Clock& clock, const ShareLimits& limits, ShareContext& context,
                Metrics& metrics, uint64_t generation_floor = 0);
  ~ShareRegistry();

  // From the next request and deadline on: nothing that was granted before is taken back.
  void SetLimits(const ShareLimits& limits) { limits_ = limits; }

  // While it is held, nothing new is granted: publishes and attaches wait, for a moment or as long
  // as they allow. What is reclaimed is taken back all the same. For the time in which the rights
  // of pods are known from before a restart only.
  void HoldNew(bool hold);

  // Writes down who has which name from here on, and keeps what an earlier broker wrote: until its
  // exporter has come back or ended, for ShareLimits::disconnect_grace at most. `file` must outlive
  // the registry. Before the first client.
  void KeepNames(NameFile& file);

  ClientId AddClient(ClientInfo info);
  // Its socket has closed while its process lives. Followed by ShareContext::Forget(), at once
  // where it claims nothing.
  void Disconnect(ClientId client);
  // Its process has ended: what it exported is gone, what it imported is closed.
  void Remove(ClientId client);

  // Requests, from a connected client, of messages that Decode() has passed.
  void Publish(ClientId client, const GroupKey& group, const wire::Publish& request);
  void Attach(ClientId client, const GroupKey& group, const wire::Attach& request);
  void Withdraw(ClientId client, const wire::Withdraw& request);
  void Admitted(ClientId client, const wire::Admitted& answer);
  void Imported(ClientId client, const wire::Imported& outcome);
  void Detached(ClientId client, const wire::Detached& outcome);
  void Rotated(ClientId client, const wire::Rotated& answer);
  void Closed(ClientId client, const wire::Closed& outcome);

  // What a connected client says it holds already, until its ReclaimDone.
  void PeerHeld(ClientId client, const wire::PeerHeld& claim);
  void ReclaimRegion(ClientId client, const GroupKey& group, const wire::ReclaimRegion& claim);
  void ReclaimMapping(ClientId client, const wire::ReclaimMapping& claim);
  void ReclaimDone(ClientId client);

  // What is known of the pod, or what it asks for, has changed (or it is gone): looks at what its
  // processes share and hold again.
  void RightsChanged(const std::string& pod_cgroup_uid);
  // The same for the regions that pods of other namespaces have in groups of this one.
  void GuestRightsChanged(const std::string& owner_namespace);
  // The same for everybody: the cluster's policy has changed.
  void AllRightsChanged();

  // Of the group's regions those that are there, and of a subscription those that come, too.
  void ListRegions(ClientId client, const GroupKey& group, const wire::List& request);
  void Subscribe(ClientId client, const GroupKey& group, const wire::Subscribe& request);
  void Unsubscribe(ClientId client, const wire::Unsubscribe& request);
  // Which processes are meant by pids that another one has of them, in their own namespaces:
  // answered for those that may import from `client` in `groups`, the groups of its pod.
  void TranslatePids(ClientId client, const std::vector<GroupKey>& groups,
                     const wire::TranslatePids& request);
  // ShareContext::HasRoom() is true again.
  void OnRoom(ClientId client) { TellSoon(client); }

  // When RunDue() has something to do next.
  std::optional<TimePoint> NextDeadline() const { return deadlines_.Next(); }
  void RunDue() { deadlines_.RunDue(clock_.Now()); }

  // Connections of a process, with those that were closed and left claims behind.
  // The process as the kernel says it, which lives.
  size_t ClientsOf(const ProcessKey& process) const;

  size_t regions() const { return regions_.size(); }
  size_t grants() const { return grants_.size(); }
  size_t waiting_attaches() const { return attaches_.size(); }

 private:
  using RequestId = records::RequestId;
  using SharedKey = records::SharedKey;
  using DevicePair = records::DevicePair;
  using Count = records::Count;
  using AdmitId = records::AdmitId;
  using AskedListing = records::AskedListing;
  using ProcessRecord = records::ProcessRecord;
  using HeldPublish = records::HeldPublish;
  using Client = records::Client;
  using Region = records::Region;
  using PendingAttach = records::PendingAttach;
  using AheadQueue = records::AheadQueue;
  using Claim = records::Claim;
  using Grant = records::Grant;
  using AwayExporter = records::AwayExporter;

  Client& Known(ClientId client) { return clients_.at(client); }
  static bool AtLimit(const Count& count, size_t own, size_t of_pod) {
    return count >= own || count.of_pod() >= of_pod;
  }
  // kLimit where there is no room for one more. The limits are client.`setting` and pod.`setting`.
  static std::optional<Refusal> CheckLimit(const Count& count, size_t own, size_t of_pod,
                                           std::string_view of_what, std::string_view setting);
  std::optional<Refusal> CheckRegions(const Client& client);
  ProcessRecord& RecordOf(const Client& client) { return *client.process; }

  template <class M>
  void Send(ClientId client, const M& message) {
    if (Known(client).connected) context_.Send(client, &message, sizeof(message));
  }
  void Refuse(ClientId client, RequestId request_id, const Refusal& refusal);
  void ReportContradiction(const Client& client, const char* of_what, const std::string& reason);
  // After every change: tells subscribers of it, and the metrics how much there is of what.
  void OnChange();
  void ForgetUnlessClaiming(ClientId client);
  void DropClient(ClientId client);
  void DropPodIfUnused(PodRecord& pod);
  std::optional<ProcessKey> KnownProcess(const ProcessKey& process) const;

  // share_registry.cc: regions.
  std::optional<Refusal> CheckPublish(ClientId client, const RegionName& name,
                                      const wire::Publish& request);
  // Of Publish and of ReclaimRegion, whose fields are the same.
  template <class M>
  std::optional<Refusal> CheckExport(const Client& client, const M& request);
  // The same. Its generation is not set, and it is not known by its name yet.
  template <class M>
  Region& AddRegion(ClientId exporter, const RegionName& name, const M& request);
  template <class M>
  SharedKey KeyOf(Client& client, const M& request);
  std::optional<Refusal> CheckUsage(const Client& client, const wire::Publish& request);
  void EndKey(const SharedKey& key);
  void DropExporter(Region& region);
  void WakeWaiting(const RegionName& name);
  void CloseRegion(Region& region, wire::WithdrawReason reason, uint32_t drain_milliseconds);
  void TellExporter(const Region& region, uint64_t generation);
  bool LetGoOfRegion(Grant& grant);
  void AnswerWithdraw(ClientId client, RegionId region, RequestId request_id);
  void EraseIfDrained(RegionId region);
  void WithdrawAll(ClientId client);
  std::string Holders(const Region& region);

  // share_names.cc
  void GiveName(Region& region);
  void RecordName(Region& region);
  void FreeName(Region& region);
  const ProcessKey* NameKeptFor(const RegionName& name) const;
  const ProcessKey* NameKeptFrom(ClientId client, const RegionName& name) const;
  void CameBack(ClientId client);
  void FreeNamesOf(const ProcessKey& exporter);
  void CheckAwaySoon();
  void CheckAway();

  // share_by_key.cc
  std::optional<Refusal> CheckKeyName(const wire::Publish& request);
  bool IsAbsent(const RegionName& name) const;
  bool IsOfOwnPod(ClientId client, const RegionName& name);
  void TellAbsent(ClientId client, const RegionName& name, RequestId request_id);

  // share_attach.cc: attaches and grants.
  void TryAttach(AttachId attach);
  std::optional<Refusal> CheckAttach(const PendingAttach& attach, const Region& region);
  void Wait(PendingAttach& attach);
  bool KeyIsFull(const PendingAttach& attach, const Region& region);
  bool WaitsForKey(const PendingAttach& attach, const Region& region);
  void WaitEnded(AttachId attach);
  void GiveGrant(AttachId attach, Region& region);
  void SendGrant(const PendingAttach& attach, const Region& region, GrantId grant);
  void RefuseAttach(AttachId attach, const Refusal& refusal);
  void EndAttach(AttachId attach, std::string_view result);
  void EndGrant(GrantId grant);
  void ReleasePeer(ClientId client, const ProcessKey& process, uint32_t own, uint32_t peer);
  void SendPeerRelease(ClientId client, uint32_t own, uint32_t peer);
  void SendWithdrawing(const Grant& grant, wire::WithdrawReason reason,
                       uint32_t drain_milliseconds);

  // share_admit.cc
  void Ask(PendingAttach& attach, Region& region);
  void StopAsking(PendingAttach& attach);
  void AdmitTimedOut(AttachId attach);
  void NoteAsked(const PendingAttach& attach, const Region& region);
  bool Lives(const ProcessKey& process) const;
  void ReleaseAgain(const Region& region, uint32_t peer);
  bool NoteAnswer(ClientId exporter, const wire::Admitted& answer);
  void JudgeUnanswered(ClientId exporter);

  // share_hold.cc
  void HoldPublish(ClientId client, const GroupKey& group, const wire::Publish& request);
  void HeldLongEnough(ClientId client);
  void DropHeldPublishes(ClientId client);

  // share_reclaim.cc
  bool ReclaimedSince(const ProcessKey& process, TimePoint when) const;
  std::optional<Refusal> CheckReclaim(ClientId client, const RegionName& name,
                                      const wire::ReclaimRegion& claim);
  void NameOrClose(Region& region, bool withdrawn);
  bool ReclaimLeftBehind(ClientId client, const RegionName& name, const wire::ReclaimRegion& claim);
  void AnswerReclaim(ClientId client, const Region& region, const wire::ReclaimRegion& claim);
  Region* FindRegion(const ProcessKey& exporter, const Handle& handle, std::string_view name,
                     uint64_t generation);
  void TakeOver(Region& region, ClientId client);
  Grant* TakeOverGrant(ClientId client, const Region& region);
  Grant& AddClaim(ClientId client, const wire::ReclaimMapping& request);
  void Bind(Region& region, Grant& grant);
  void BindClaims(Region& region);
  void TellWhatHasChanged(const Region& region, const Grant& grant);
  void StopAwaiting(Grant& grant);
  void ClaimIsDead(Grant& grant);
  void AwaitedEnded(const ProcessKey& exporter);
  void CheckAwaited();
  void ReleasePeersHeld(ClientId client, bool also_of_exports);
  bool ImportersMayComeBack(const Region& region) const;
  void ReclaimWindowEnded();
  std::optional<Refusal> CheckMapping(ClientId client, const wire::ReclaimMapping& claim);
  void EndLeftGrants(ClientId client);

  // share_whitelist.cc
  void Taint(const SharedKey& key, pid_t pid, const char* what);
  void List(ExportedKey& key, const Client& importer);
  void Unlist(ExportedKey& key);
  void LearnWhitelist(const SharedKey& key);
  void AddLearned(const SharedKey& key, const FoundProcess& found);

  // share_rotation.cc
  const Region* RegionToRotate(const ExportedKey& key) const;
  Deadlines::Id AddDeadline(const SharedKey& key, Duration after,
                            std::function<void(const SharedKey&)> task);
  void RotateSoon(const SharedKey& key, wire::RotateReason reason);
  void StartRotation(const SharedKey& key, wire::RotateReason reason);
  void AskToRotate(const SharedKey& key);
  void AskSoonIfDrained(ExportedKey& key);
  void FinishRotation(const SharedKey& key, const Handle& handle);
  bool Republish(RegionId region);
  void LetGoOf(const std::set<GrantId>& grants);
  void FailRotation(const SharedKey& key, std::string_view result, const std::string& reason,
                    bool key_closed = false);
  std::optional<std::string> Contradiction(const ExportedKey& key, const Handle& handle);
  void EndRotation(ExportedKey& key, std::string_view result);
  bool IsGivenUp(const ExportedKey& key) const;
  void EraseDrained(const ExportedKey& key);
  std::string DescribeKey(const ExportedKey& key) const;
  void PauseRotation(const SharedKey& key);
  void PauseRotationsOf(ClientId client);
  void ResumeRotation(const SharedKey& key);
  Region* FindRenewedMeanwhile(ClientId client, const RegionName& name,
                               const wire::ReclaimRegion& claim);
  std::set<GrantId> GrantsOf(const ExportedKey& key) const;

  // share_revocation.cc
  using Keys = std::set<SharedKey>;
  pods::RevokeMode RevokeModeOf(PodRecord& pod);
  void RecheckRegion(RegionId region, Keys* to_rotate);
  void RecheckClient(ClientId client, Keys* to_rotate);
  void RecheckGrant(GrantId grant, Keys* to_rotate);
  void RecheckAttach(AttachId attach);
  void RecheckListings(const SharedKey& key, const PodRecord& importers, Keys* to_rotate);
  void RevokeRegion(Region& region, const Refusal& reason, Keys* to_rotate);
  void RevokeGrant(Grant& grant, const Refusal& reason, bool rotates);
  void RotateAll(const Keys& keys);

  // share_subscribe.cc
  wire::RegionDescription DescribeRegion(const Region& region, ClientId for_client);
  std::string GroupNameFor(const GroupKey& group, ClientId client);
  std::optional<Refusal> CheckSubscriber(ClientId client, const GroupKey& group);
  void EndSubscription(SubscriptionId id);
  void EndSubscriptionsOf(ClientId client);
  void TellSubscribers();
  void TellSoon(ClientId client);
  void TellSome();
  bool TellOne(ClientId client);
  bool TellNext(Subscription& subscription);
  void SendGone(const Subscription& subscription, const std::string& name,
                const UntoldChange& change);
  void SendChange(const Subscription& subscription, const Region& region);
  void AdmitAhead(Subscription& subscription, const Region& region);
  void AskAhead(ClientId exporter);
  void BeginAhead(const Subscription& subscription, const std::string& name, AheadAdmission* ahead);
  void AheadAdmitted(AttachId attach, const Region& region);
  void AheadEnded(AttachId attach);
  void AheadAnswered(ClientId exporter);
  void EndAhead(Subscription& subscription, const std::string& name);

  const Clock& clock_;
  ShareLimits limits_;
  ShareContext& context_;
  Metrics& metrics_;
  Deadlines deadlines_;
  size_t asked_ = 0;  // whitelistings that no exporter has answered yet
  PeerAccess peer_access_;
  Generations generations_;
  bool hold_new_ = false;
  std::set<ClientId> held_;  // have held publishes
  const TimePoint started_;
  Deadlines::Id reclaim_window_ = 0;
  Deadlines::Id check_awaited_ = 0;
  // Claims whose exporters live and have not come back, by what they claim. The exporters as the
  // kernel says them.
  std::unordered_map<ProcessKey, std::map<Handle, std::set<GrantId>>, ProcessKeyHash> awaited_;

  uint64_t next_id_ = 1;  // of clients, regions, attaches and grants
  IdMap<Client> clients_;
  std::unordered_map<ProcessKey, ProcessRecord, ProcessKeyHash> processes_;
  std::unordered_map<pid_t, ProcessKey> pid_holders_;  // whoever was known by it last
  std::unordered_map<std::string, PodRecord> pods_;
  pods::ExportUsage exported_;  // by all pods
  size_t revoked_ = 0;          // grants that were revoked, and still reach the memory
  size_t rotating_ = 0;         // keys
  std::unordered_map<uint64_t, SharedKey> rotations_;  // that the exporter was asked for
  std::unordered_map<std::string, std::set<RegionId>> guest_regions_;  // by the group's namespace
  IdMap<Region> regions_;
  RegionNames names_;  // the live ones; views of what regions_ has
  NameFile* name_file_ = nullptr;
  std::unordered_map<ProcessKey, AwayExporter, ProcessKeyHash> away_;  // as the kernel says them
  std::unordered_map<RegionName, NameFile::Entry, RegionNameHash> names_of_away_;
  TimePoint names_kept_until_;
  Subscriptions subscriptions_;
  std::deque<ClientId> to_tell_;          // in turn
  std::unordered_set<ClientId> telling_;  // the same
  Deadlines::Id tell_task_ = 0;
  std::unordered_map<ClientId, AheadQueue> ahead_;  // by exporter
  std::unordered_map<RegionName, std::set<AttachId>, RegionNameHash> waiting_;
  std::unordered_map<AttachId, PendingAttach> attaches_;  // the id is ADMIT's request_id too
  std::unordered_map<GrantId, Grant> grants_;
};

}  // namespace npu_ipc::broker
