// Which devices may reach each other's memory.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

#include "hal/sim/driver/verdict.h"

namespace npu_ipc::sim {

// Requests are counted a process and a direction; the link is configured once both directions are
// requested, by whichever processes (driver: devdrv_ctrl.c, devdrv_enable_p2p). Not thread safe.
class PeerAccess {
 public:
  // Called when a pair of devices (the smaller id first) is configured or no longer.
  using ChangeCallback = std::function<void(uint32_t a, uint32_t b, bool configured)>;

  // Whether two devices have a link over which memory can be reached.
  using Linked = std::function<bool(uint32_t a, uint32_t b)>;

  PeerAccess(uint32_t device_count, Linked linked)
      : device_count_(device_count), linked_(std::move(linked)) {}
  void OnChange(ChangeCallback callback) { on_change_ = std::move(callback); }

  // EINVAL: no such device, one of id 16 or more, both are the same, or not linked. ENOMEM: 32
  // processes have this direction.
  Verdict Enable(pid_t pid, uint32_t device, uint32_t peer);
  // Takes one request of the process back. EINVAL as above. ESRCH: it has none.
  Verdict Disable(pid_t pid, uint32_t device, uint32_t peer);
  bool IsConfigured(uint32_t device, uint32_t peer) const;
  // Takes all requests of the process back.
  void Release(pid_t pid);

 private:
  using Direction = std::pair<uint32_t, uint32_t>;       // from, to
  using Requests = std::unordered_map<pid_t, uint32_t>;  // never empty

  Verdict Check(uint32_t device, uint32_t peer) const;
  void Drop(Direction direction);

  const uint32_t device_count_;
  const Linked linked_;
  ChangeCallback on_change_ = [](uint32_t, uint32_t, bool) {};
  std::map<Direction, Requests> requests_;
};

}  // namespace npu_ipc::sim
