// What the share registry writes down of clients, regions, attaches and grants.
//
// Records only: who may change what, and what follows from it, is ShareRegistry's.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "hal/base/clock.h"
#include "plugin/broker/deadlines.h"
#include "plugin/broker/exported_key.h"
#include "plugin/broker/name_file.h"
#include "plugin/broker/share_types.h"
#include "plugin/broker/subscriptions.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc::broker::records {

using RequestId = uint64_t;
using SharedKey = std::shared_ptr<ExportedKey>;
using DevicePair = std::pair<uint32_t, uint32_t>;  // own, peer

// What a process has, counted for its pod, too.
class Count {
 public:
  void CountFor(size_t* of_pod) { of_pod_ = of_pod; }
  operator size_t() const { return own_; }
  size_t of_pod() const { return *of_pod_; }
  void operator++() { ++own_, ++*of_pod_; }
  void operator--() { --own_, --*of_pod_; }

 private:
  size_t own_ = 0;
  size_t* of_pod_ = nullptr;
};

// What an exporter was asked to list.
struct AskedListing {
  std::weak_ptr<ExportedKey> key;
  Handle handle;
  ProcessKey importer;
  ClientId over = 0;  // the connection
  uint32_t times = 0;
};

using AdmitId = std::pair<AttachId, RegionId>;

// A process, whatever connections it has.
struct ProcessRecord {
  std::set<ClientId> clients;
  std::map<Handle, SharedKey> keys;        // by former handles, too
  std::map<AdmitId, AskedListing> admits;  // that it has not answered
  Count regions;
  Count grants;
  Count attaches;
  Count subscriptions;
};

// A publish that came while nothing new is granted.
struct HeldPublish {
  GroupKey group;
  wire::Publish request;
  Deadlines::Id deadline;
};

// A connection, and what it claims, which may outlive it.
struct Client {
  ClientInfo info;
  bool connected = true;
  PodRecord* pod = nullptr;
  ProcessRecord* process = nullptr;  // of info.process
  Deadlines::Id grace = 0;
  size_t asked = 0;  // whitelistings that it has not answered
  std::set<RegionId> regions;
  std::set<AttachId> attaches;
  std::set<GrantId> grants;  // as an importer
  std::deque<HeldPublish> held_publishes;
  TimePoint disconnected;
  std::optional<TimePoint> reclaimed;  // when ReclaimDone came
  std::set<DevicePair> peers_held;
  Deadlines::Id peers_held_deadline = 0;
  // Grants of clients of the same process that lost their connections, by region. Some may be
  // gone.
  std::optional<std::multimap<RegionId, GrantId>> left_behind;
};

// A withdraw that waits for importers to close.
struct PendingWithdraw {
  RequestId request_id;
  Deadlines::Id deadline;
};

// What was published under a name: an allocation, or a part of one.
struct Region {
  RegionId id;
  RegionName name;
  ClientId exporter;
  SharedKey key;
  uint64_t generation;
  uint64_t former_generation = 0;  // before its key was renewed last
  uint32_t device;
  uint64_t allocation_bytes;
  uint64_t view_offset;
  uint64_t view_bytes;
  TimePoint since;  // published, or claimed from an earlier broker
  NameFile::Slot name_slot = NameFile::kNoSlot;
  bool withdrawing = false;  // holds no name any more
  bool given_up = false;     // by its program: which closes the key once nobody holds it
  std::optional<wire::WithdrawReason> told;  // what its importers were told last
  std::optional<PendingWithdraw> pending_withdraw;
  std::set<AttachId> admitting;  // attaches that wait for this exporter's answer
  std::set<GrantId> grants;
};

// An attach that is not answered yet.
struct PendingAttach {
  AttachId id;
  ClientId client;
  RequestId request_id;
  RegionName name;
  uint32_t device;
  uint32_t wait_milliseconds;
  std::optional<TimePoint> wait_ends;  // none: never
  Deadlines::Id wait_deadline = 0;
  RegionId region = 0;  // whose exporter was asked; 0 while it waits for a region
  Deadlines::Id admit_deadline = 0;
  bool published = false;           // it is not waited for where nobody has published it
  bool exporter_went = false;       // an exporter ended or withdrew meanwhile
  SubscriptionId subscription = 0;  // that it is tried ahead of an attach for: nobody is answered
};

// What exporters are asked ahead of attaches.
struct AheadQueue {
  std::deque<std::pair<SubscriptionId, std::string>> queue;
  size_t asked = 0;
  bool asking = false;  // AskAhead() is at it
};

// What makes a mapping that was reclaimed the same as a region, until its exporter is back.
struct Claim {
  Handle handle;
  std::string name;
  std::string exporter_pod_uid;
  uint64_t allocation_bytes;
  uint64_t view_bytes;
  TimePoint since;
};

// That an importer may map a region, or has.
struct Grant {
  GrantId id;
  ClientId importer;
  ProcessKey exporter_process;  // as the kernel says it, while its exporter has not come back
  ClientId exporter;  // 0 once the mapping is dead, or while its exporter has not come back
  RegionId region;    // may be gone
  std::string region_name;
  uint32_t importer_device;
  uint32_t exporter_device;
  TimePoint since;        // granted, or claimed from an earlier broker
  bool imported = false;  // its importer has said so
  bool revoked = false;
  std::unique_ptr<Claim> claim;  // while its exporter has not come back
};

// A process that an earlier broker knew, and that has not told yet what it holds.
struct AwayExporter {
  std::set<ClientId> clients;  // its connections then
  size_t came_back = 0;        // of those
  std::vector<RegionName> names;
};

}  // namespace npu_ipc::broker::records
