// One exported allocation, as the broker knows it: what the driver's whitelist belongs to.
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <array>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/broker/deadlines.h"
#include "plugin/broker/id_map.h"
#include "plugin/broker/line_limit.h"
#include "plugin/broker/share_types.h"
#include "plugin/pods/policy.h"
#include "plugin/pods/share_decision.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc::broker {

using Handle = std::array<uint8_t, wire::kHandleBytes>;

inline Handle HandleOf(const uint8_t (&bytes)[wire::kHandleBytes]) { return std::to_array(bytes); }

// The text of a key, which the driver does not end where it fills the field. Of `handle`'s bytes;
// never to be shown.
inline std::string_view KeyText(std::span<const uint8_t, wire::kHandleBytes> handle) {
  const char* const text = reinterpret_cast<const char*>(handle.data());
  return {text, strnlen(text, handle.size())};
}

struct ExportedKey;

// What counts towards the limits of a pod.
struct PodUsage {
  size_t regions = 0;
  size_t grants = 0;
  size_t attaches = 0;
  size_t subscriptions = 0;
};

// What a pod's processes claim, all together.
struct PodRecord {
  std::string uid;  // as its cgroups carry it
  std::set<ClientId> clients;
  pods::ExportUsage exported;
  PodUsage usage;
  // How the pod wants rights to its regions taken back, as it last said: a pod that is gone, or
  // whose annotations have gone bad, says it no more.
  pods::RevokeMode revoke = pods::RevokeMode::kNotify;
  LineLimit refusal_lines;
  // The keys whose whitelists have processes of the pod, and those: each once.
  FlatMap<ExportedKey*, std::vector<pid_t>> listed_on;
};

// A pid that the exporter was asked to whitelist. The driver never takes one off.
struct Listing {
  ProcessKey process;        // that was meant
  bool listed = false;       // while that process lived
  PodRecord* pod = nullptr;  // of that process
};

// An export that is being closed and made anew. Meanwhile nobody is let in: so whatever happens to
// somebody's rights until its end is covered by it.
struct KeyRotation {
  uint64_t id = 0;  // the request id of Rotate, too
  wire::RotateReason reason = wire::RotateReason::kRevoked;
  ClientId asked = 0;  // who was sent Rotate; 0 while importers have time to close
  // The exporter has lost its connection since it was to be asked: it is asked again when it comes
  // back, unless it has done it.
  bool paused = false;
  Deadlines::Id deadline = 0;  // of the drain, then of the answer, or of the exporter's return
};

struct ExportedKey {
  wire::HandleKind kind = wire::HandleKind::kIpcKey;
  Handle handle = {};
  // What it had before, newest last: a publish that was on its way meanwhile may still name one.
  std::vector<Handle> former_handles;
  ProcessKey process;  // the exporter
  PodRecord* pod = nullptr;
  uint64_t allocation_bytes = 0;
  FlatMap<pid_t, Listing> listings;
  uint32_t listed_before = 0;     // processes that were listed under an earlier broker
  bool whitelist_read = false;    // who they are was looked up, or will be
  std::set<RegionId> regions;     // its names, with those that are withdrawn and still held
  size_t grants = 0;              // that reach the memory under this key
  size_t admitting = 0;           // attaches that wait for the exporter's answer
  bool rotate_when_idle = false;  // its whitelist is full: once `admitting` is 0
  std::optional<KeyRotation> rotation;
};

}  // namespace npu_ipc::broker
