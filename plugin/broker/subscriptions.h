// Who wants to know of which names, and what each has not been told yet.
#pragma once

#include <stdint.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plugin/broker/share_types.h"

namespace npu_ipc::broker {

using SubscriptionId = uint64_t;

// A name's latest state, which is all that a subscriber is told of it.
struct UntoldChange {
  RegionId region = 0;
  uint64_t generation = 0;  // of a region that is gone
  bool gone = false;
};

// An admission ahead of an attach.
struct AheadAdmission {
  enum class State { kQueued, kAsked, kAdmitted };
  State state = State::kQueued;
  AttachId attach = 0;    // while kAsked
  ClientId exporter = 0;  // whose library was asked
  ProcessKey process;     // of the exporter, which uses peer access while kAdmitted
  uint32_t exporter_device = 0;
};

// The names that are there when it begins are walked in order; a name that changes behind the walk
// is noted, and told again. So a subscription to 100,000 names costs a cursor.
struct Subscription {
  SubscriptionId id = 0;
  ClientId client = 0;
  GroupKey group;
  std::string prefix;
  uint32_t device = 0;
  bool admit_ahead = false;

  std::string walked;  // the last name that was told by walking
  bool walk_ended = false;
  std::map<std::string, UntoldChange> untold;                // by name
  std::map<std::string, AheadAdmission, std::less<>> ahead;  // by name

  bool HasToTell() const { return !walk_ended || !untold.empty(); }
  // Whether `name` is told only because it has changed.
  bool Walked(std::string_view name) const { return walk_ended || name <= walked; }
};

// Not thread safe. Finding those that a name concerns costs as many lookups as there are lengths of
// prefixes in its group.
class Subscriptions {
 public:
  Subscription& Add(Subscription subscription);
  // Null where there is none.
  Subscription* Find(SubscriptionId id);
  void Remove(SubscriptionId id);

  std::vector<SubscriptionId> Concerned(const RegionName& name) const;
  std::vector<SubscriptionId> OfClient(ClientId client) const;
  size_t CountOf(ClientId client) const;

  size_t size() const { return subscriptions_.size(); }

 private:
  struct Group {
    std::map<size_t, size_t> lengths;  // how many subscriptions have a prefix of that length
    std::unordered_map<std::string, std::set<SubscriptionId>> by_prefix;
  };

  std::unordered_map<SubscriptionId, Subscription> subscriptions_;
  std::unordered_map<ClientId, std::set<SubscriptionId>> by_client_;
  std::unordered_map<std::string, Group> groups_;  // by GroupKey::Text()
};

}  // namespace npu_ipc::broker
