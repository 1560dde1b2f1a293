// ShareRegistry: lists of regions, and subscriptions to names.
#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;

// Told in one turn of the loop, to whom it may concern: requests have their turns between.
constexpr int kToldAtOnce = 8;
// Admissions ahead of attaches that one exporter is asked for at a time, so that an attach on
// demand does not wait behind many of them.
constexpr size_t kAheadAtOnce = 4;

}  // namespace

wire::RegionDescription ShareRegistry::DescribeRegion(const Region& region, ClientId for_client) {
  const ClientInfo& exporter = Known(region.exporter).info;
  wire::RegionDescription description = {};
  PutText(description.group, GroupNameFor(region.name.group, for_client));
  PutText(description.name, region.name.name);
  description.region_id = region.id;
  description.generation = region.generation;
  description.allocation_bytes = region.allocation_bytes;
  description.view_bytes = region.view_bytes;
  description.exporter_physical_device = region.device;
  description.exporter_host_pid = exporter.process.pid;
  description.importers = static_cast<uint32_t>(region.grants.size());
  PutText(description.exporter_namespace, exporter.pod_namespace);
  PutText(description.exporter_pod, exporter.pod_name);
  PutText(description.exporter_pod_uid, exporter.pod_uid);
  return description;
}

std::string ShareRegistry::GroupNameFor(const GroupKey& group, ClientId client) {
  return group.pod_namespace == Known(client).info.pod_namespace ? group.name : group.Text();
}

void ShareRegistry::ListRegions(ClientId id, const GroupKey& group, const wire::List& request) {
  if (const auto refusal = context_.CheckRight(id, group, ShareRight::kSee)) {
    return Refuse(id, request.header.request_id, *refusal);
  }
  auto answer = NewMessage<wire::Listed>(MessageType::kListed, request.header.request_id);
  const auto name = names_.Next(group, Text(request.prefix), Text(request.after));
  if (name) {
    answer.found = 1;
    const auto found = names_.find({group, std::string(*name)});
    answer.region = DescribeRegion(regions_.at(found->second), id);
  }
  Send(id, answer);
}

std::optional<Refusal> ShareRegistry::CheckSubscriber(ClientId client, const GroupKey& group) {
  if (auto refusal = context_.CheckRight(client, group, ShareRight::kImport)) return refusal;
  return context_.CheckRight(client, group, ShareRight::kSee);
}

void ShareRegistry::Subscribe(ClientId id, const GroupKey& group, const wire::Subscribe& request) {
  const RequestId request_id = request.header.request_id;
  if (const auto refusal = CheckSubscriber(id, group)) return Refuse(id, request_id, *refusal);
  Count& subscribed = RecordOf(Known(id)).subscriptions;
  if (const auto refusal = CheckLimit(subscribed, limits_.subscriptions, limits_.pod.subscriptions,
                                      "subscriptions", "maxSubscriptions")) {
    return Refuse(id, request_id, *refusal);
  }
  ++subscribed;
  Subscription subscription;
  subscription.id = next_id_++;
  subscription.client = id;
  subscription.group = group;
  subscription.prefix = Text(request.prefix);
  subscription.device = request.claimed_physical_device;
  subscription.admit_ahead = request.admit_ahead != 0;
  auto answer = NewMessage<wire::Subscribed>(MessageType::kSubscribed, request_id);
  answer.subscription_id = subscription.id;
  Send(id, answer);
  const ClientInfo& info = Known(id).info;
  spdlog::info("subscribed: subscription={} group={} prefix={} admit_ahead={} pod={} pid={}",
               subscription.id, group.Text(), subscription.prefix, subscription.admit_ahead,
               info.PodFullName(), info.process.pid);
  subscriptions_.Add(std::move(subscription));
  names_.NoteChanges(true);
  TellSoon(id);
  OnChange();
}

void ShareRegistry::Unsubscribe(ClientId id, const wire::Unsubscribe& request) {
  const Subscription* const subscription = subscriptions_.Find(request.subscription_id);
  if (subscription == nullptr || subscription->client != id) return;
  EndSubscription(request.subscription_id);
  OnChange();
}

void ShareRegistry::EndSubscription(SubscriptionId id) {
  Subscription& subscription = *subscriptions_.Find(id);
  while (!subscription.ahead.empty()) EndAhead(subscription, subscription.ahead.begin()->first);
  --RecordOf(Known(subscription.client)).subscriptions;
  subscriptions_.Remove(id);
  names_.NoteChanges(subscriptions_.size() > 0);
}

void ShareRegistry::EndSubscriptionsOf(ClientId client) {
  for (const SubscriptionId id : subscriptions_.OfClient(client)) EndSubscription(id);
}

// What regions have come and gone since the last time, to whom it concerns.
void ShareRegistry::TellSubscribers() {
  for (const RegionNames::Change& change : names_.TakeChanges()) {
    const auto region = regions_.find(change.region);
    const uint64_t generation = region == regions_.end() ? 0 : region->second.generation;
    for (const SubscriptionId id : subscriptions_.Concerned(change.name)) {
      Subscription& subscription = *subscriptions_.Find(id);
      EndAhead(subscription, change.name.name);  // also of a key that was made anew
      if (subscription.Walked(change.name.name)) {
        subscription.untold[change.name.name] = {change.region, generation, !change.named};
      }
      TellSoon(subscription.client);
    }
  }
}

void ShareRegistry::TellSoon(ClientId client) {
  if (!telling_.insert(client).second) return;
  to_tell_.push_back(client);
  if (tell_task_ == 0) tell_task_ = deadlines_.Add(clock_.Now(), [this] { TellSome(); });
}

// A turn's worth, to one client after the other; the rest in the loop's next turns.
void ShareRegistry::TellSome() {
  tell_task_ = 0;
  for (int told = 0; told < kToldAtOnce && !to_tell_.empty();) {
    const ClientId client = to_tell_.front();
    to_tell_.pop_front();
    telling_.erase(client);
    if (!TellOne(client)) continue;
    ++told;
    TellSoon(client);
  }
  if (tell_task_ == 0 && !to_tell_.empty()) {
    tell_task_ = deadlines_.Add(clock_.Now(), [this] { TellSome(); });
  }
}

// False where there is nothing (more) to tell the client, or no room in its socket: it is told more
// when there is room, or something happens.
bool ShareRegistry::TellOne(ClientId client) {
  for (const SubscriptionId id : subscriptions_.OfClient(client)) {
    Subscription& subscription = *subscriptions_.Find(id);
    if (subscription.untold.size() > limits_.untold_changes) {
      spdlog::warn("subscriber dropped, it does not read what it is told: subscription={} pid={}",
                   id, Known(client).info.process.pid);
      context_.DropSlow(client);
      return false;
    }
    if (!context_.HasRoom(client)) continue;
    if (subscription.HasToTell() && TellNext(subscription)) return true;
  }
  return false;
}

// False where there is nothing, or the right to it is missing: then everything is told from the
// start when something happens and the right is there.
bool ShareRegistry::TellNext(Subscription& subscription) {
  if (CheckSubscriber(subscription.client, subscription.group)) {
    subscription.untold.clear();
    subscription.walked.clear();
    subscription.walk_ended = false;
    return false;
  }
  std::string name;
  UntoldChange change;
  if (!subscription.untold.empty()) {
    auto first = subscription.untold.extract(subscription.untold.begin());
    name = std::move(first.key());
    change = first.mapped();
  } else {
    const auto next = names_.Next(subscription.group, subscription.prefix, subscription.walked);
    subscription.walk_ended = !next;
    if (!next) return false;
    name = *next;
    subscription.walked = name;
  }
  const auto found = names_.find({subscription.group, name});
  if (found == names_.end()) {
    SendGone(subscription, name, change);
  } else {
    const Region& region = regions_.at(found->second);
    AdmitAhead(subscription, region);
    subscription.untold.erase(name);  // admitted at once, maybe: that is told now
    SendChange(subscription, region);
  }
  return true;
}

void ShareRegistry::SendGone(const Subscription& subscription, const std::string& name,
                             const UntoldChange& change) {
  auto message = NewMessage<wire::RegionChange>(MessageType::kRegionChange, 0);
  message.subscription_id = subscription.id;
  message.change = wire::Change::kGone;
  PutText(message.region.group, GroupNameFor(subscription.group, subscription.client));
  PutText(message.region.name, name);
  message.region.region_id = change.region;
  message.region.generation = change.generation;
  Send(subscription.client, message);
}

void ShareRegistry::SendChange(const Subscription& subscription, const Region& region) {
  const auto ahead = subscription.ahead.find(region.name.name);
  const bool admitted =
      ahead != subscription.ahead.end() && ahead->second.state == AheadAdmission::State::kAdmitted;
  auto message = NewMessage<wire::RegionChange>(MessageType::kRegionChange, 0);
  message.subscription_id = subscription.id;
  message.change = admitted ? wire::Change::kAdmitted : wire::Change::kPublished;
  message.region = DescribeRegion(region, subscription.client);
  Send(subscription.client, message);
}

// Once for each region of the subscription, as far as its window goes.
void ShareRegistry::AdmitAhead(Subscription& subscription, const Region& region) {
  if (!subscription.admit_ahead || subscription.ahead.size() >= limits_.admitted_ahead) return;
  const bool is_new = subscription.ahead.try_emplace(region.name.name).second;
  if (!is_new) return;
  ahead_[region.exporter].queue.emplace_back(subscription.id, region.name.name);
  AskAhead(region.exporter);
}

void ShareRegistry::AskAhead(ClientId exporter) {
  const auto found = ahead_.find(exporter);
  if (found == ahead_.end() || found->second.asking) return;
  found->second.asking = true;  // an answer at once comes back here
  while (found->second.asked < kAheadAtOnce && !found->second.queue.empty()) {
    const auto [id, name] = std::move(found->second.queue.front());
    found->second.queue.pop_front();
    Subscription* const subscription = subscriptions_.Find(id);
    if (subscription == nullptr) continue;
    const auto entry = subscription->ahead.find(name);
    if (entry == subscription->ahead.end() ||
        entry->second.state != AheadAdmission::State::kQueued) {
      continue;
    }
    ++found->second.asked;
    entry->second.state = AheadAdmission::State::kAsked;
    entry->second.exporter = exporter;
    BeginAhead(*subscription, name, &entry->second);
  }
  found->second.asking = false;
  if (found->second.asked == 0 && found->second.queue.empty()) ahead_.erase(found);
}

// An attach that nobody waits for: it ends in AheadAdmitted() or AheadEnded().
void ShareRegistry::BeginAhead(const Subscription& subscription, const std::string& name,
                               AheadAdmission* ahead) {
  PendingAttach attach;
  attach.id = next_id_++;
  attach.client = subscription.client;
  attach.request_id = 0;
  attach.name = {subscription.group, name};
  attach.device = subscription.device;
  attach.wait_milliseconds = 0;
  attach.wait_ends = clock_.Now() + limits_.admit_deadline;
  attach.wait_deadline =
      deadlines_.Add(*attach.wait_ends, [this, id = attach.id] { WaitEnded(id); });
  attach.subscription = subscription.id;
  ahead->attach = attach.id;
  const AttachId attach_id = attach.id;
  Known(subscription.client).attaches.insert(attach_id);
  attaches_.emplace(attach_id, std::move(attach));
  TryAttach(attach_id);
}

// The exporter's side of peer access stays in use, so that an attach finds everything ready.
void ShareRegistry::AheadAdmitted(AttachId attach_id, const Region& region) {
  const PendingAttach& attach = attaches_.at(attach_id);
  Subscription& subscription = *subscriptions_.Find(attach.subscription);
  const ClientId client = subscription.client;
  AheadAdmission& ahead = subscription.ahead.at(region.name.name);
  ahead.state = AheadAdmission::State::kAdmitted;
  ahead.attach = 0;
  ahead.process = Known(region.exporter).info.process;
  ahead.exporter_device = region.device;
  peer_access_.Use(ahead.process, region.device, attach.device);
  subscription.untold[region.name.name] = {region.id, region.generation, false};
  const ClientId exporter = ahead.exporter;
  EndAttach(attach_id, "");
  AheadAnswered(exporter);
  TellSoon(client);
}

// Nothing came of it: the region can be attached to on demand.
void ShareRegistry::AheadEnded(AttachId attach_id) {
  const PendingAttach& attach = attaches_.at(attach_id);
  Subscription& subscription = *subscriptions_.Find(attach.subscription);
  const auto ahead = subscription.ahead.find(attach.name.name);
  const ClientId exporter = ahead->second.exporter;
  subscription.ahead.erase(ahead);
  EndAttach(attach_id, "");
  AheadAnswered(exporter);
}

void ShareRegistry::AheadAnswered(ClientId exporter) {
  const auto queue = ahead_.find(exporter);
  if (queue == ahead_.end()) return;
  --queue->second.asked;
  AskAhead(exporter);
}

// The region is gone, or the subscription ends.
void ShareRegistry::EndAhead(Subscription& subscription, const std::string& name) {
  const auto found = subscription.ahead.find(name);
  if (found == subscription.ahead.end()) return;
  const AheadAdmission ahead = found->second;
  if (ahead.state == AheadAdmission::State::kAsked) return AheadEnded(ahead.attach);
  subscription.ahead.erase(found);
  if (ahead.state != AheadAdmission::State::kAdmitted) return;
  if (clients_.contains(ahead.exporter)) {
    ReleasePeer(ahead.exporter, ahead.process, ahead.exporter_device, subscription.device);
  } else {
    peer_access_.Release(ahead.process, ahead.exporter_device, subscription.device);
  }
}

}  // namespace npu_ipc::broker
