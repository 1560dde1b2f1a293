#include "plugin/broker/subscriptions.h"

#include <utility>

namespace npu_ipc::broker {

Subscription& Subscriptions::Add(Subscription subscription) {
  Group& group = groups_[subscription.group.Text()];
  ++group.lengths[subscription.prefix.size()];
  group.by_prefix[subscription.prefix].insert(subscription.id);
  by_client_[subscription.client].insert(subscription.id);
  const SubscriptionId id = subscription.id;
  return subscriptions_.emplace(id, std::move(subscription)).first->second;
}

Subscription* Subscriptions::Find(SubscriptionId id) {
  const auto found = subscriptions_.find(id);
  return found == subscriptions_.end() ? nullptr : &found->second;
}

void Subscriptions::Remove(SubscriptionId id) {
  const auto found = subscriptions_.find(id);
  if (found == subscriptions_.end()) return;
  const Subscription& subscription = found->second;
  const auto group = groups_.find(subscription.group.Text());
  const auto length = group->second.lengths.find(subscription.prefix.size());
  if (--length->second == 0) group->second.lengths.erase(length);
  const auto prefix = group->second.by_prefix.find(subscription.prefix);
  prefix->second.erase(id);
  if (prefix->second.empty()) group->second.by_prefix.erase(prefix);
  if (group->second.by_prefix.empty()) groups_.erase(group);
  const auto client = by_client_.find(subscription.client);
  client->second.erase(id);
  if (client->second.empty()) by_client_.erase(client);
  subscriptions_.erase(found);
}

std::vector<SubscriptionId> Subscriptions::Concerned(const RegionName& name) const {
  std::vector<SubscriptionId> concerned;
  const auto group = groups_.find(name.group.Text());
  if (group == groups_.end()) return concerned;
  for (const auto& [length, count] : group->second.lengths) {
    if (length > name.name.size()) break;
    const auto found = group->second.by_prefix.find(name.name.substr(0, length));
    if (found == group->second.by_prefix.end()) continue;
    concerned.insert(concerned.end(), found->second.begin(), found->second.end());
  }
  return concerned;
}

std::vector<SubscriptionId> Subscriptions::OfClient(ClientId client) const {
  const auto found = by_client_.find(client);
  if (found == by_client_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

size_t Subscriptions::CountOf(ClientId client) const {
  const auto found = by_client_.find(client);
  return found == by_client_.end() ? 0 : found->second.size();
}

}  // namespace npu_ipc::broker
