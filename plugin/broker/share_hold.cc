// ShareRegistry: the time in which nothing new is granted.
#include <utility>
#include <vector>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {

void ShareRegistry::HoldNew(bool hold) {
  if (std::exchange(hold_new_, hold) == hold || hold) return;
  const std::set<ClientId> held = std::exchange(held_, {});
  for (const ClientId id : held) {
    const std::deque<HeldPublish> publishes = std::exchange(Known(id).held_publishes, {});
    for (const HeldPublish& publish : publishes) {
      deadlines_.Cancel(publish.deadline);
      Publish(id, publish.group, publish.request);
    }
  }
  // A copy: trying takes them off the list, or puts them back.
  std::vector<AttachId> waiting;
  for (const auto& [name, attaches] : waiting_) {
    waiting.insert(waiting.end(), attaches.begin(), attaches.end());
  }
  for (const AttachId attach : waiting) {
    if (attaches_.contains(attach)) TryAttach(attach);
  }
  OnChange();
}

void ShareRegistry::HoldPublish(ClientId id, const GroupKey& group, const wire::Publish& request) {
  Client& client = Known(id);
  if (client.held_publishes.size() >= limits_.pending_requests) {
    return Refuse(id, request.header.request_id, {wire::Status::kLimit, kNothingNewYet});
  }
  held_.insert(id);
  client.held_publishes.push_back(
      {group, request,
       deadlines_.Add(clock_.Now() + limits_.hold, [this, id] { HeldLongEnough(id); })});
}

// The oldest: all are held as long.
void ShareRegistry::HeldLongEnough(ClientId id) {
  Client& client = Known(id);
  const HeldPublish publish = client.held_publishes.front();
  client.held_publishes.pop_front();
  if (client.held_publishes.empty()) held_.erase(id);
  Refuse(id, publish.request.header.request_id, {wire::Status::kTimedOut, kNothingNewYet});
}

void ShareRegistry::DropHeldPublishes(ClientId id) {
  for (const HeldPublish& publish : Known(id).held_publishes) {
    deadlines_.Cancel(publish.deadline);
  }
  Known(id).held_publishes.clear();
  held_.erase(id);
}

}  // namespace npu_ipc::broker
