#include "hal/sim/driver/peer_access.h"

#include <errno.h>

#include <algorithm>
#include <vector>

#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {
namespace {

constexpr uint32_t kPeerDevices = 16;  // driver: DEVDRV_CLOUD_V2_P2P_SUPPORT_MAX_DEVICE

}  // namespace

Verdict PeerAccess::Check(uint32_t device, uint32_t peer) const {
  if (device >= device_count_ || peer >= device_count_) return {EINVAL, "no such device"};
  if (device >= kPeerDevices || peer >= kPeerDevices) {
    return {EINVAL, "peer access is for devices 0 to 15"};
  }
  if (device == peer) return {EINVAL, "a device is not its own peer"};
  // The driver looks at no topology here, and the hardware then fails. This is the code of all its
  // refusals of a pair.
  if (!linked_(device, peer)) {
    return {EINVAL, "no link between the devices carries peer access"};
  }
  return {};
}

Verdict PeerAccess::Enable(pid_t pid, uint32_t device, uint32_t peer) {
  if (Verdict verdict = Check(device, peer); !verdict.ok()) return verdict;
  const auto found = requests_.find({device, peer});
  if (found != requests_.end() && found->second.count(pid) == 0 &&
      found->second.size() >= kMaxPeerProcesses) {
    return {ENOMEM, "32 processes have this direction of peer access"};
  }
  ++requests_[{device, peer}][pid];
  if (found == requests_.end() && IsConfigured(device, peer)) {
    on_change_(std::min(device, peer), std::max(device, peer), true);
  }
  return {};
}

Verdict PeerAccess::Disable(pid_t pid, uint32_t device, uint32_t peer) {
  if (Verdict verdict = Check(device, peer); !verdict.ok()) return verdict;
  const auto found = requests_.find({device, peer});
  if (found == requests_.end() || found->second.count(pid) == 0) {
    return {ESRCH, "the process has not enabled this direction of peer access"};
  }
  if (--found->second[pid] == 0) found->second.erase(pid);
  if (found->second.empty()) Drop(found->first);
  return {};
}

bool PeerAccess::IsConfigured(uint32_t device, uint32_t peer) const {
  return requests_.count({device, peer}) != 0 && requests_.count({peer, device}) != 0;
}

void PeerAccess::Release(pid_t pid) {
  std::vector<Direction> unused;
  for (auto& [direction, processes] : requests_) {
    processes.erase(pid);
    if (processes.empty()) unused.push_back(direction);
  }
  for (const Direction& direction : unused) Drop(direction);
}

void PeerAccess::Drop(Direction direction) {
  const auto [from, to] = direction;
  const bool was_configured = IsConfigured(from, to);
  requests_.erase(direction);
  if (was_configured) on_change_(std::min(from, to), std::max(from, to), false);
}

}  // namespace npu_ipc::sim
