#include "runtime/src/peer_access.h"

#include "runtime/src/memory.h"
#include "runtime/src/vendor.h"

namespace npu_ipc::runtime {

PeerAccess::Use* PeerAccess::Find(uint64_t client, uint32_t own, uint32_t peer, bool others) {
  for (Use* use = uses_.front(); use != nullptr; use = uses_.Next(use)) {
    if (use->own == own && use->peer == peer && (use->client == client) != others) return use;
  }
  return nullptr;
}

npu_ipc_status PeerAccess::Enable(const hal::acl::IpcTable& vendor, uint64_t client,
                                  uint32_t own_user, uint32_t own, uint32_t peer, Deadline deadline,
                                  hal::acl::Error* code, Text* error) {
  if (vendor.enable_peer_access == nullptr) {
    *error = Text("libruntime.so lacks rtEnableP2P, which sharing across devices needs");
    return NPU_IPC_NO_VENDOR_LIBRARY;
  }
  Use* made = New<Use>();
  if (made == nullptr) return NPU_IPC_NO_MEMORY;
  made->client = client;
  made->own_user = own_user;
  made->own = own;
  made->peer = peer;
  bool enabled = false;
  for (;;) {
    mutex_.Lock();
    const Use* const mine = Find(client, own, peer, false);
    const Use* const theirs = Find(client, own, peer, true);
    const bool busy = (mine != nullptr && mine->busy) || (theirs != nullptr && theirs->busy);
    if (!busy) {
      enabled = mine != nullptr || theirs != nullptr;
      made->busy = !enabled;
      if (mine == nullptr) uses_.PushBack(made);
      mutex_.Unlock();
      if (mine != nullptr) Delete(made);
      break;
    }
    const uint32_t seen = changed_.Current();
    mutex_.Unlock();
    if (deadline.Passed()) {
      Delete(made);
      *error = Text("another thread's change of peer access between these devices has not ended");
      return NPU_IPC_TIMED_OUT;
    }
    changed_.WaitWhile(seen, deadline);
  }
  if (enabled) return NPU_IPC_OK;

  *code = vendor.enable_peer_access(own_user, peer, 0);
  enabled = *code == hal::acl::kSuccess;
  {
    MutexLock lock(mutex_);
    made->busy = false;
    if (!enabled) uses_.Remove(made);
  }
  changed_.Announce();
  if (enabled) return NPU_IPC_OK;
  Delete(made);
  *error = DescribeVendorError("rtEnableP2P", *code);
  error->Append(" for device ").Append(int64_t{own}).Append(" to device ").Append(int64_t{peer});
  return NPU_IPC_VENDOR_ERROR;
}

void PeerAccess::Disable(const hal::acl::IpcTable& vendor, uint64_t client, uint32_t own,
                         uint32_t peer) {
  mutex_.Lock();
  Use* const use = Find(client, own, peer, false);
  if (use == nullptr || use->busy) {
    mutex_.Unlock();
    return;
  }
  const bool last = Find(client, own, peer, true) == nullptr;
  use->busy = true;
  mutex_.Unlock();
  // A failure leaves the pair enabled until the process ends; there is nobody to tell.
  if (last && vendor.disable_peer_access != nullptr) {
    vendor.disable_peer_access(use->own_user, use->peer);
  }
  {
    MutexLock lock(mutex_);
    uses_.Remove(use);
  }
  changed_.Announce();
  Delete(use);
}

bool PeerAccess::PairAt(uint64_t client, uint64_t index, uint32_t* own, uint32_t* peer) {
  MutexLock lock(mutex_);
  const Use* use = uses_.front();
  while (use != nullptr && (use->client != client || index-- > 0)) use = uses_.Next(use);
  if (use == nullptr) return false;
  *own = use->own;
  *peer = use->peer;
  return true;
}

void PeerAccess::DisableAll(const hal::acl::IpcTable& vendor, uint64_t client) {
  for (;;) {
    mutex_.Lock();
    const Use* use = uses_.front();
    while (use != nullptr && (use->client != client || use->busy)) use = uses_.Next(use);
    const uint32_t own = use != nullptr ? use->own : 0;
    const uint32_t peer = use != nullptr ? use->peer : 0;
    mutex_.Unlock();
    if (use == nullptr) return;
    Disable(vendor, client, own, peer);
  }
}

}  // namespace npu_ipc::runtime
