// Which processes use peer access between which devices: who must enable it, and who may stop.
#pragma once

#include <stdint.h>

#include <unordered_map>

#include "plugin/broker/share_types.h"

namespace npu_ipc::broker {

// The driver counts peer access a process and a direction, and refuses the 33rd process of one
// (driver: devdrv_ctrl.c, DEVDRV_P2P_MAX_PROC_NUM). Not thread safe.
class PeerAccess {
 public:
  static constexpr size_t kMaxProcesses = 32;

  // False where `process` would be one too many from `own` to `peer`.
  bool MayUse(const ProcessKey& process, uint32_t own, uint32_t peer) const;

  // Notes one more use. A device is its own peer without any doing: not counted.
  void Use(const ProcessKey& process, uint32_t own, uint32_t peer);

  // Notes the end of one use; true when it was the process' last of this direction, so that the
  // process should disable it.
  bool Release(const ProcessKey& process, uint32_t own, uint32_t peer);

  bool InUse(const ProcessKey& process, uint32_t own, uint32_t peer) const;

 private:
  struct Key {
    ProcessKey process;
    uint64_t direction;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return ProcessKeyHash()(key.process) * 31 + std::hash<uint64_t>()(key.direction);
    }
  };
  static uint64_t Direction(uint32_t own, uint32_t peer) {
    return static_cast<uint64_t>(own) << 32 | peer;
  }

  std::unordered_map<Key, size_t, KeyHash> uses_;
  std::unordered_map<uint64_t, size_t> processes_;  // by direction
};

}  // namespace npu_ipc::broker
