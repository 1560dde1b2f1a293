#include "plugin/broker/share_snapshot.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

bool ReadNumber(std::string_view* text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

}  // namespace

ShareSnapshotTaker::ShareSnapshotTaker(const ShareRegistry& registry, ShareQuery query)
    : registry_(registry), query_(std::move(query)) {
  clients_.reserve(registry.clients_.size());
  for (const auto& [id, client] : registry.clients_) clients_.push_back(id);
  std::sort(clients_.begin(), clients_.end());
  if (query_.from.empty()) {
    query_.processes ? Begin(Phase::kProcesses) : BeginAfter(Phase::kProcesses);
  } else if (!ParseFrom(query_.from)) {
    Begin(Phase::kDone);
  }
}

// "r.CLIENT.REGION" or "m.CLIENT.GRANT": what was looked at last.
bool ShareSnapshotTaker::ParseFrom(std::string_view from) {
  if (from.size() < 2 || (from[0] != 'r' && from[0] != 'm') || from[1] != '.') return false;
  const Phase phase = from[0] == 'r' ? Phase::kRegions : Phase::kLoose;
  from.remove_prefix(2);
  uint64_t client = 0;
  uint64_t item = 0;
  if (!ReadNumber(&from, &client) || !from.starts_with('.')) return false;
  from.remove_prefix(1);
  if (!ReadNumber(&from, &item) || !from.empty()) return false;
  Begin(phase);
  const auto at = std::lower_bound(clients_.begin(), clients_.end(), client);
  client_ = static_cast<size_t>(at - clients_.begin());
  if (at != clients_.end() && *at == client) after_item_ = item;
  return true;
}

void ShareSnapshotTaker::Begin(Phase phase) {
  phase_ = phase;
  client_ = 0;
  after_item_ = 0;
}

void ShareSnapshotTaker::BeginAfter(Phase phase) {
  if (phase < Phase::kKeys && query_.keys) return Begin(Phase::kKeys);
  if (phase < Phase::kRegions && query_.regions) return Begin(Phase::kRegions);
  if (phase < Phase::kLoose && query_.regions && !query_.groups) return Begin(Phase::kLoose);
  Begin(Phase::kDone);
}

bool ShareSnapshotTaker::Step(size_t limit) {
  while (limit > 0 && phase_ != Phase::kDone) {
    size_t used = 1;
    switch (phase_) {
      case Phase::kProcesses:
        used = StepProcesses(limit);
        break;
      case Phase::kKeys:
        used = StepKeys(limit);
        break;
      case Phase::kRegions:
        used = StepRegions(limit);
        break;
      case Phase::kLoose:
        used = StepLoose(limit);
        break;
      case Phase::kDone:
        break;
    }
    limit -= std::min(limit, std::max<size_t>(used, 1));
  }
  return phase_ == Phase::kDone;
}

size_t ShareSnapshotTaker::StepProcesses(size_t limit) {
  size_t used = 0;
  for (; client_ < clients_.size() && used < limit; ++client_, ++used) {
    AddProcess(clients_[client_]);
  }
  if (client_ == clients_.size()) BeginAfter(Phase::kProcesses);
  return used;
}

size_t ShareSnapshotTaker::StepKeys(size_t limit) {
  size_t used = 0;
  for (; client_ < clients_.size() && used < limit; ++client_) {
    const size_t before = snapshot_.keys.size();
    AddKeysOf(clients_[client_]);
    used += 1 + snapshot_.keys.size() - before;
  }
  if (client_ == clients_.size()) BeginAfter(Phase::kKeys);
  return used;
}

size_t ShareSnapshotTaker::StepRegions(size_t limit) {
  return StepItems(limit, &ShareRegistry::Client::regions, [this](RegionId region) {
    const size_t before = snapshot_.mappings.size();
    AddRegion(region);
    return 1 + snapshot_.mappings.size() - before;
  });
}

// Mappings whose region is gone, or has not come back.
size_t ShareSnapshotTaker::StepLoose(size_t limit) {
  return StepItems(limit, &ShareRegistry::Client::grants, [this](GrantId grant) {
    if (registry_.grants_.at(grant).exporter == 0) AddMapping(grant);
    return size_t{1};
  });
}

// Has `add` look at the items of each client in their order; it says how much it looked at.
template <class Items, class Add>
size_t ShareSnapshotTaker::StepItems(size_t limit, Items items_of, const Add& add) {
  size_t used = 0;
  while (client_ < clients_.size() && used < limit) {
    const auto client = registry_.clients_.find(clients_[client_]);
    if (client != registry_.clients_.end()) {
      const std::set<uint64_t>& items = client->second.*items_of;
      for (auto item = items.upper_bound(after_item_); item != items.end(); ++item) {
        if (used >= limit) return used;
        after_item_ = *item;
        used += add(*item);
        if (PageIsFull()) {
          EndPage();
          return used;
        }
      }
    }
    ++client_;
    ++used;
    after_item_ = 0;
  }
  if (client_ == clients_.size()) BeginAfter(phase_);
  return used;
}

bool ShareSnapshotTaker::PageIsFull() const {
  return snapshot_.regions.size() + snapshot_.mappings.size() >= query_.page;
}

void ShareSnapshotTaker::EndPage() {
  snapshot_.next = std::string(phase_ == Phase::kRegions ? "r." : "m.") +
                   std::to_string(clients_[client_]) + "." + std::to_string(after_item_);
  Begin(Phase::kDone);
}

void ShareSnapshotTaker::AddProcess(ClientId id) {
  const auto found = registry_.clients_.find(id);
  if (found == registry_.clients_.end() || snapshot_.processes.contains(id)) return;
  const ShareRegistry::Client& client = found->second;
  snapshot_.processes[id] = {id,
                             client.info,
                             client.connected,
                             client.regions.size(),
                             client.grants.size(),
                             client.attaches.size()};
}

void ShareSnapshotTaker::AddKeysOf(ClientId id) {
  const auto client = registry_.clients_.find(id);
  if (client == registry_.clients_.end()) return;
  const ProcessKey& process = client->second.info.process;
  if (!with_keys_.emplace(process.pid, process.start_time_ticks).second) return;
  for (const auto& [handle, key] : registry_.processes_.at(process).keys) {
    if (handle != key->handle) continue;  // one that it had before
    ShareSnapshot::Key copy;
    copy.key = KeyText(handle);
    copy.exporter = process;
    copy.allocation_bytes = key->allocation_bytes;
    for (const RegionId region : key->regions) {
      copy.device = registry_.regions_.at(region).device;
      copy.regions.insert(registry_.regions_.at(region).name.Text());
    }
    for (const auto& [pid, listing] : key->listings) {
      copy.listings[pid] = {listing.process.start_time_ticks, listing.listed};
    }
    copy.listed_before = key->listed_before;
    copy.renewing = key->rotation.has_value();
    snapshot_.keys.push_back(std::move(copy));
  }
}

void ShareSnapshotTaker::AddRegion(RegionId id) {
  const ShareRegistry::Region& region = registry_.regions_.at(id);
  if (query_.groups && !query_.groups->contains(region.name.group.Text())) return;
  ShareSnapshot::Region copy;
  copy.id = id;
  copy.name = region.name;
  copy.exporter = region.exporter;
  copy.generation = region.generation;
  copy.device = region.device;
  copy.allocation_bytes = region.allocation_bytes;
  copy.view_offset = region.view_offset;
  copy.view_bytes = region.view_bytes;
  copy.age = registry_.clock_.Now() - region.since;
  copy.mappings = region.grants.size();
  copy.whitelisted = region.key->listings.size() + region.key->listed_before;
  copy.state = region.withdrawing                                  ? RegionState::kWithdrawing
               : region.key->rotation                              ? RegionState::kRenewing
               : !registry_.clients_.at(region.exporter).connected ? RegionState::kAway
                                                                   : RegionState::kShared;
  AddProcess(region.exporter);
  snapshot_.regions.emplace(id, std::move(copy));
  size_t listed = 0;
  for (const GrantId grant : region.grants) {
    if (listed++ == query_.mappings_of_region) break;
    AddMapping(grant);
  }
}

void ShareSnapshotTaker::AddMapping(GrantId id) {
  const ShareRegistry::Grant& grant = registry_.grants_.at(id);
  ShareSnapshot::Mapping copy;
  copy.id = id;
  copy.region_name = grant.region_name;
  copy.importer = grant.importer;
  copy.exporter = grant.exporter_process;
  copy.importer_device = grant.importer_device;
  copy.exporter_device = grant.exporter_device;
  copy.age = registry_.clock_.Now() - grant.since;
  const auto region =
      grant.exporter == 0 ? registry_.regions_.end() : registry_.regions_.find(grant.region);
  const bool asked_to_close =
      region != registry_.regions_.end() &&
      (region->second.withdrawing || region->second.key->rotation.has_value());
  if (region != registry_.regions_.end()) copy.region = grant.region;
  copy.state = grant.claim           ? MappingState::kUnconfirmed
               : grant.exporter == 0 ? MappingState::kDead
               : grant.revoked       ? MappingState::kRevoked
               : asked_to_close      ? MappingState::kWithdrawing
               : grant.imported      ? MappingState::kImported
                                     : MappingState::kGranted;
  AddProcess(grant.importer);
  snapshot_.mappings.push_back(std::move(copy));
}

}  // namespace npu_ipc::broker
