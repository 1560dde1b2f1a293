#include "plugin/kubelet/allocation_tracker.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <tuple>

namespace npu_ipc::kubelet {
namespace {

bool HoldsAll(const std::set<std::string>& held, const std::set<std::string>& ids) {
  return std::includes(held.begin(), held.end(), ids.begin(), ids.end());
}

bool HoldsAny(const std::set<std::string>& held, const std::set<std::string>& ids) {
  return std::any_of(ids.begin(), ids.end(),
                     [&](const std::string& id) { return held.contains(id); });
}

bool SamePod(const ContainerName& a, const ContainerName& b) {
  return a.pod_namespace == b.pod_namespace && a.pod == b.pod;
}

std::vector<std::string> ToVector(const std::set<std::string>& ids) {
  return {ids.begin(), ids.end()};
}

}  // namespace

AllocationTracker::AllocationTracker(const AllocationRules& rules, const Clock& clock)
    : rules_(rules), clock_(clock) {}

void AllocationTracker::AddResource(const std::string& resource) {
  const std::lock_guard lock(mutex_);
  resources_.insert(resource);
}

void AllocationTracker::RecordAllocate(const std::string& resource,
                                       std::vector<std::string> device_ids) {
  const std::lock_guard lock(mutex_);
  resources_.insert(resource);
  Unnamed& added = unnamed_.emplace_back();
  added.resource = resource;
  added.ids.insert(device_ids.begin(), device_ids.end());
  added.allocated_at = clock_.Now();
  for (auto entry = named_.lower_bound({resource, {}});
       entry != named_.end() && entry->first.first == resource; ++entry) {
    if (HoldsAll(entry->second.ids, added.ids)) added.earlier_holders.insert(entry->first.second);
  }
  snapshot_is_current_ = false;
}

void AllocationTracker::Observe(const Result<std::vector<ContainerDevices>>& answer,
                                TimePoint asked) {
  const std::lock_guard lock(mutex_);
  source_ = answer.status();
  if (answer.ok()) {
    const Listing listing = ForOurResources(*answer);
    ResolveUnnamed(listing, asked);
    ResolveNamed(listing, asked);
  } else {
    for (auto& [key, named] : named_) named.absence = {};
    for (Unnamed& unnamed : unnamed_) unnamed.absence = {};
  }
  snapshot_is_current_ = false;
}

AllocationTracker::Listing AllocationTracker::ForOurResources(
    const std::vector<ContainerDevices>& answer) const {
  Listing listing;
  for (const ContainerDevices& entry : answer) {
    if (!resources_.contains(entry.resource) || entry.device_ids.empty()) continue;
    listing[{entry.resource, entry.container}].insert(entry.device_ids.begin(),
                                                      entry.device_ids.end());
  }
  return listing;
}

void AllocationTracker::ResolveUnnamed(const Listing& listing, TimePoint asked) {
  const auto named = [&](const Unnamed& unnamed) {
    return std::any_of(listing.begin(), listing.end(), [&](const auto& entry) {
      const auto& [key, ids] = entry;
      return key.first == unnamed.resource && !unnamed.earlier_holders.contains(key.second) &&
             HoldsAll(ids, unnamed.ids);
    });
  };
  for (auto unnamed = unnamed_.begin(); unnamed != unnamed_.end();) {
    const bool judged = unnamed->allocated_at < asked;
    const bool settled = judged && (named(*unnamed) || CountAbsence(unnamed->absence, asked));
    unnamed = settled ? unnamed_.erase(unnamed) : std::next(unnamed);
  }
}

void AllocationTracker::ResolveNamed(const Listing& listing, TimePoint asked) {
  const auto given_away = [&](const Key& key, const std::set<std::string>& ids) {
    return std::any_of(listing.begin(), listing.end(), [&](const auto& listed) {
      return listed.first.first == key.first && !SamePod(listed.first.second, key.second) &&
             HoldsAny(listed.second, ids);
    });
  };
  for (auto entry = named_.begin(); entry != named_.end();) {
    auto& [key, named] = *entry;
    const bool gone = !listing.contains(key) &&
                      (given_away(key, named.ids) || CountAbsence(named.absence, asked));
    entry = gone ? named_.erase(entry) : std::next(entry);
  }
  for (const auto& [key, ids] : listing) named_[key] = Named{ids, {}};
}

bool AllocationTracker::CountAbsence(Absence& absence, TimePoint asked) const {
  if (absence.answers++ == 0) absence.since = asked;
  return absence.answers >= rules_.answers && asked - absence.since >= rules_.duration;
}

AllocationSnapshot AllocationTracker::MakeSnapshot() const {
  AllocationSnapshot made;
  made.source = source_;
  for (const auto& [key, named] : named_) {
    made.allocations.push_back({key.first, ToVector(named.ids), key.second});
  }
  for (const Unnamed& unnamed : unnamed_) {
    made.allocations.push_back({unnamed.resource, ToVector(unnamed.ids), std::nullopt});
  }
  const auto rank = [](const Allocation& a) {
    return std::make_tuple(std::cref(a.resource), !a.container.has_value(), std::cref(a.container),
                           std::cref(a.device_ids));
  };
  std::sort(made.allocations.begin(), made.allocations.end(),
            [&](const Allocation& a, const Allocation& b) { return rank(a) < rank(b); });
  return made;
}

std::shared_ptr<const AllocationSnapshot> AllocationTracker::snapshot() const {
  const std::lock_guard lock(mutex_);
  if (std::exchange(snapshot_is_current_, true)) return snapshot_;
  AllocationSnapshot made = MakeSnapshot();
  if (made != *snapshot_) snapshot_ = std::make_shared<const AllocationSnapshot>(std::move(made));
  return snapshot_;
}

bool AllocationTracker::Unsettled() const {
  const std::lock_guard lock(mutex_);
  return !unnamed_.empty() || std::any_of(named_.begin(), named_.end(), [](const auto& entry) {
    return entry.second.absence.answers > 0;
  });
}

}  // namespace npu_ipc::kubelet
