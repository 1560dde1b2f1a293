// ShareRegistry: who has which name, and the names of exporters that have not come back since the
// broker was restarted.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {
namespace {

// A process that has not come back is looked at this often: nothing tells of its end.
constexpr auto kCheckAwayEvery = std::chrono::seconds(1);

}  // namespace

void ShareRegistry::KeepNames(NameFile& file) {
  name_file_ = &file;
  names_kept_until_ = started_ + limits_.disconnect_grace;
  std::unordered_map<ProcessKey, bool, ProcessKeyHash> runs;
  for (const NameFile::Entry& entry : file.TakeFound()) {
    const auto [exporter, is_new] = runs.try_emplace(entry.exporter);
    if (is_new) exporter->second = context_.ProcessRuns(entry.exporter);
    // Two where the broker was killed while it wrote one of them anew.
    if (!exporter->second || !names_of_away_.try_emplace(entry.name, entry).second) {
      file.Clear(entry.slot);
      continue;
    }
    away_[entry.exporter].clients.insert(entry.client);
    away_[entry.exporter].names.push_back(entry.name);
  }
  if (away_.empty()) return;
  spdlog::info("names are kept for exporters from before the restart: names={} processes={}",
               names_of_away_.size(), away_.size());
  CheckAwaySoon();
}

// REQUIRES: nobody else has the name, or is to have it.
void ShareRegistry::GiveName(Region& region) {
  names_.emplace(&region.name, region.id);
  RecordName(region);
}

// Written anew before what was there goes, for a broker that is killed between the two.
void ShareRegistry::RecordName(Region& region) {
  if (name_file_ == nullptr) return;
  const NameFile::Slot before = region.name_slot;
  const ProcessKey& exporter = Known(region.exporter).info.process;
  region.name_slot = name_file_->Write(region.name, exporter, region.exporter);
  name_file_->Clear(before);
  const auto kept = names_of_away_.find(region.name);
  if (kept == names_of_away_.end()) return;
  name_file_->Clear(kept->second.slot);
  names_of_away_.erase(kept);
}

void ShareRegistry::FreeName(Region& region) {
  names_.erase(region.name);
  if (name_file_ != nullptr) {
    name_file_->Clear(std::exchange(region.name_slot, NameFile::kNoSlot));
  }
}

// The process, as the kernel says it, that is to have the name when it comes back; null where
// there is none.
const ProcessKey* ShareRegistry::NameKeptFor(const RegionName& name) const {
  const auto kept = names_of_away_.find(name);
  if (kept == names_of_away_.end() || clock_.Now() >= names_kept_until_) return nullptr;
  return context_.ProcessRuns(kept->second.exporter) ? &kept->second.exporter : nullptr;
}

// The same, where it is another than the client's.
const ProcessKey* ShareRegistry::NameKeptFrom(ClientId client, const RegionName& name) const {
  const ProcessKey* const exporter = NameKeptFor(name);
  if (exporter == nullptr) return nullptr;
  return *exporter == clients_.at(client).info.process.AsTheKernelSays() ? nullptr : exporter;
}

// The client has told what it holds. Once its process has done so over as many connections as it
// had, it has given up the names that it did not ask for.
void ShareRegistry::CameBack(ClientId id) {
  const auto away = away_.find(Known(id).info.process.AsTheKernelSays());
  if (away == away_.end()) return;
  if (++away->second.came_back >= away->second.clients.size()) FreeNamesOf(away->first);
}

void ShareRegistry::FreeNamesOf(const ProcessKey& exporter) {
  const auto away = away_.extract(exporter);
  size_t freed = 0;
  for (const RegionName& name : away.mapped().names) {
    const auto kept = names_of_away_.find(name);
    if (kept == names_of_away_.end() || kept->second.exporter != away.key()) continue;
    spdlog::debug("name is kept no longer: name={} pid={}", name.Text(), away.key().pid);
    ++freed;
    name_file_->Clear(kept->second.slot);
    names_of_away_.erase(kept);
    if (!waiting_.contains(name)) continue;
    // Those who wait for no region but a published one are to wait no longer.
    deadlines_.Add(std::max(clock_.Now(), started_ + limits_.reclaim_window), [this, name] {
      WakeWaiting(name);
      OnChange();
    });
  }
  if (freed > 0) {
    spdlog::info("names are kept no longer: names={} pid={}", freed, away.key().pid);
  }
}

void ShareRegistry::CheckAwaySoon() {
  const TimePoint next = std::min(clock_.Now() + kCheckAwayEvery, names_kept_until_);
  deadlines_.Add(next, [this] { CheckAway(); });
}

void ShareRegistry::CheckAway() {
  const bool all = clock_.Now() >= names_kept_until_;
  std::vector<ProcessKey> ended;
  for (const auto& [exporter, away] : away_) {
    if (all || !context_.ProcessRuns(exporter)) ended.push_back(exporter);
  }
  for (const ProcessKey& exporter : ended) FreeNamesOf(exporter);
  if (!away_.empty()) CheckAwaySoon();
}

}  // namespace npu_ipc::broker
