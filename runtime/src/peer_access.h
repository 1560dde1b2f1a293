// Which pairs of devices this process has enabled peer access for.
#pragma once

#include <stdint.h>

#include "hal/acl/acl_ipc.h"
#include "runtime/include/npu_ipc.h"
#include "runtime/src/deadline.h"
#include "runtime/src/futex.h"
#include "runtime/src/list.h"
#include "runtime/src/text.h"

namespace npu_ipc::runtime {

// The driver counts peer access by process, and the broker says by connection when it is no longer
// needed. So: one vendor enable a pair, however many shares and clients use it, undone when the
// last client lets go. Safe for concurrent use.
class PeerAccess {
 public:
  // A client is known by a number that no other client of this process has had.
  //
  // Makes sure that `own` (by its user id, and by its physical one) reaches `peer` (physical), on
  // behalf of `client`. Waits until `deadline` while another thread changes the pair. OK;
  // VENDOR_ERROR with `*code`; NO_VENDOR_LIBRARY when the runtime lacks rtEnableP2P; TIMED_OUT;
  // NO_MEMORY.
  npu_ipc_status Enable(const hal::acl::IpcTable& vendor, uint64_t client, uint32_t own_user,
                        uint32_t own, uint32_t peer, Deadline deadline, hal::acl::Error* code,
                        Text* error);

  // `client` no longer needs the pair. Does nothing when it had not enabled it.
  void Disable(const hal::acl::IpcTable& vendor, uint64_t client, uint32_t own, uint32_t peer);

  // The pair that comes `index`-th of those that `client` uses, by physical ids. False where it
  // uses no more.
  bool PairAt(uint64_t client, uint64_t index, uint32_t* own, uint32_t* peer);

  // `client` no longer needs any pair.
  void DisableAll(const hal::acl::IpcTable& vendor, uint64_t client);

 private:
  struct Use : ListLink<Use> {
    uint64_t client;
    uint32_t own_user;
    uint32_t own;
    uint32_t peer;
    bool busy;  // a thread is in the vendor call
  };
  // The use of the pair by `client`; by anyone but `client` with `others`.
  Use* Find(uint64_t client, uint32_t own, uint32_t peer, bool others);

  Mutex mutex_;
  ChangeCount changed_;
  List<Use> uses_;
};

}  // namespace npu_ipc::runtime
