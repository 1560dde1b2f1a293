// What is shared now, copied out of the registry a little at a time.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hal/base/clock.h"
#include "plugin/broker/share_types.h"

namespace npu_ipc::broker {

class ShareRegistry;

enum class RegionState {
  kShared,
  kAway,         // its exporter has lost its connection, and may come back
  kRenewing,     // its key is being closed and made anew
  kWithdrawing,  // holds no name any more, and is still mapped
};

enum class MappingState {
  kGranted,      // its importer has not said yet that it is mapped
  kImported,     // mapped
  kUnconfirmed,  // claimed by an importer; its exporter has not come back since the broker started
  kWithdrawing,  // the exporter wants it closed
  kRevoked,      // the right to it is gone, and it still reaches the memory
  kDead,         // the exporter has closed; the importer has not yet
};

// Plain values: what comes out may go to any thread. It never holds an export key but in Key.
struct ShareSnapshot {
  struct Process {
    ClientId client = 0;
    ClientInfo info;
    bool connected = true;
    size_t regions = 0;
    size_t mappings = 0;
    size_t waiting = 0;  // attaches
  };
  struct Region {
    RegionId id = 0;
    RegionName name;
    ClientId exporter = 0;
    uint64_t generation = 0;
    uint32_t device = 0;  // physical id, as the exporter says
    uint64_t allocation_bytes = 0;
    uint64_t view_offset = 0;
    uint64_t view_bytes = 0;
    RegionState state = RegionState::kShared;
    Duration age{};
    size_t mappings = 0;     // in all
    size_t whitelisted = 0;  // processes that its exporter was asked to list
  };
  struct Mapping {
    GrantId id = 0;
    RegionId region = 0;  // 0: gone, or not known yet
    std::string region_name;
    ClientId importer = 0;
    ProcessKey exporter;
    uint32_t importer_device = 0;
    uint32_t exporter_device = 0;
    MappingState state = MappingState::kGranted;
    Duration age{};
  };
  struct Listed {
    uint64_t start_time_ticks = 0;
    bool listed = false;  // else: the exporter was asked, and has not said yes
  };
  // An exported allocation with the processes that its whitelist has as far as is known here.
  struct Key {
    std::string key;  // to be compared with the driver's records, and never to be shown
    ProcessKey exporter;
    uint32_t device = 0;  // physical id, as the exporter says
    uint64_t allocation_bytes = 0;
    std::set<std::string> regions;  // its names
    std::map<pid_t, Listed> listings;
    uint32_t listed_before = 0;  // under an earlier broker: unknown which
    bool renewing = false;
  };

  std::map<ClientId, Process> processes;
  std::map<RegionId, Region> regions;
  std::vector<Mapping> mappings;
  std::vector<Key> keys;
  std::string next;  // where the next page begins; empty: this was the last
};

struct ShareQuery {
  bool processes = false;  // every one; else those of the regions and mappings alone
  bool keys = false;
  bool regions = false;  // with their mappings, in pages
  // Empty: every group. Mappings whose region is gone are then left out.
  std::optional<std::set<std::string>> groups;  // as GroupKey::Text() has them
  std::string from;                             // ShareSnapshot::next of the page before
  size_t page = 2000;                           // regions and mappings, about
  size_t mappings_of_region = 1000;             // more are counted, and not listed
};

// Takes a snapshot in steps, between which the registry may change: each region is as it was at one
// moment, with its mappings. What comes or goes meanwhile is in it or not. Belongs to the
// registry's thread.
class ShareSnapshotTaker {
 public:
  // `registry` must outlive the taker.
  ShareSnapshotTaker(const ShareRegistry& registry, ShareQuery query);

  // Looks at up to about `limit` more things. True once there is no more to look at.
  bool Step(size_t limit);

  // REQUIRES: Step() was true.
  ShareSnapshot Take() { return std::move(snapshot_); }

 private:
  enum class Phase { kProcesses, kKeys, kRegions, kLoose, kDone };

  bool ParseFrom(std::string_view from);
  void Begin(Phase phase);
  // The first phase after `phase` that is asked for.
  void BeginAfter(Phase phase);
  size_t StepProcesses(size_t limit);
  size_t StepKeys(size_t limit);
  size_t StepRegions(size_t limit);
  size_t StepLoose(size_t limit);
  template <class Items, class Add>
  size_t StepItems(size_t limit, Items items_of, const Add& add);
  void AddProcess(ClientId client);
  void AddKeysOf(ClientId client);
  void AddRegion(RegionId region);
  void AddMapping(GrantId grant);
  bool PageIsFull() const;
  void EndPage();

  const ShareRegistry& registry_;
  const ShareQuery query_;
  ShareSnapshot snapshot_;
  std::vector<ClientId> clients_;  // ascending
  std::set<std::pair<pid_t, uint64_t>> with_keys_;
  Phase phase_ = Phase::kDone;
  size_t client_ = 0;        // index into clients_
  uint64_t after_item_ = 0;  // of that client: the last region or grant that was looked at
};

}  // namespace npu_ipc::broker
