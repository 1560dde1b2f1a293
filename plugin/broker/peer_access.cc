#include "plugin/broker/peer_access.h"

namespace npu_ipc::broker {

bool PeerAccess::InUse(const ProcessKey& process, uint32_t own, uint32_t peer) const {
  return uses_.contains({process, Direction(own, peer)});
}

bool PeerAccess::MayUse(const ProcessKey& process, uint32_t own, uint32_t peer) const {
  if (own == peer || InUse(process, own, peer)) return true;
  const auto found = processes_.find(Direction(own, peer));
  return found == processes_.end() || found->second < kMaxProcesses;
}

void PeerAccess::Use(const ProcessKey& process, uint32_t own, uint32_t peer) {
  if (own == peer) return;
  if (uses_[{process, Direction(own, peer)}]++ == 0) ++processes_[Direction(own, peer)];
}

bool PeerAccess::Release(const ProcessKey& process, uint32_t own, uint32_t peer) {
  const auto found = uses_.find({process, Direction(own, peer)});
  if (found == uses_.end() || --found->second > 0) return false;
  uses_.erase(found);
  const auto count = processes_.find(Direction(own, peer));
  if (--count->second == 0) processes_.erase(count);
  return true;
}

}  // namespace npu_ipc::broker
