// What a client attaches to.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "hal/acl/acl_ipc.h"
#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"
#include "runtime/src/deadline.h"
#include "runtime/src/event_queue.h"
#include "runtime/src/list.h"
#include "runtime/src/message.h"
#include "runtime/src/vendor.h"

namespace npu_ipc::runtime {

class Client;

// npu_ipc_mapping.
struct Mapping : ListLink<Mapping> {
  // Fixed once granted.
  uint64_t flags = hal::acl::kFlagDefault;  // to import with
  pid_t pid = 0;
  Client* client = nullptr;
  ThreadDevice device;
  char group[wire::kNameBytes] = {};
  char name[wire::kNameBytes] = {};
  wire::Grant grant = {};  // but for its id
  void* base = nullptr;    // the allocation's first byte here
  // Guarded by the client's lock.
  uint64_t grant_id = 0;
  uint64_t connection_id = 0;  // over which the broker knows it: others know nothing of it
  uint64_t claimed_over = 0;   // the last connection over which it was granted or claimed
  uint64_t claim = 0;          // the request that claims it, until it is answered
  npu_ipc_mapping_state state = NPU_IPC_MAPPING_LIVE;
  bool programs_own = false;  // imported by the program's own call, with a key that it brought
  bool handed_out = false;    // the program has it, and may be told events about it
  EventSource event;
};

// What a process attaches to, and how.
struct AttachRequest {
  const char* name;
  const char* group;  // empty: the only one
  bool programs_own;  // by a key that it has: it must be there, and is found at once or not at all
  uint64_t flags;     // to import with
  hal::acl::Error import_code;  // set: the vendor's, where it was the import that failed
};

// A grant's export key.
inline const char* Key(const wire::Grant& grant) {
  return reinterpret_cast<const char*>(grant.handle);
}

class Importer {
 public:
  explicit Importer(Client* client) : client_(client) {}
  ~Importer();

  npu_ipc_status Attach(AttachRequest* request, Deadline deadline, Mapping** result);
  npu_ipc_status Detach(Mapping* mapping);

  // Memory that the program imports by a key that it has got somehow, known by the key's name; in
  // program_imports.cc.
  //
  // Attaches in whichever group has it. NOT_FOUND: none has; else why not, with `*code` where it
  // was the vendor's import that failed, after the grant.
  npu_ipc_status AttachOwn(const char* name, uint64_t flags, uint32_t wait_ms, void** base,
                           hal::acl::Error* code);
  // The program closes it, without waiting for anybody; errno is the vendor's. False where there is
  // none of that name; else `*code` is the vendor's.
  bool CloseOwn(const hal::acl::IpcTable& vendor, const char* name, hal::acl::Error* code);

  void GetInfo(Mapping* mapping, npu_ipc_mapping_info* info);

  // Service thread: the broker wants a mapping closed, or says that it is dead.
  void Withdrawing(const wire::Withdrawing& withdrawing, uint64_t connection_id);
  // Service thread: the next mapping that the broker at this connection has not been told of. False
  // where there is none.
  bool NextClaim(uint64_t connection_id, uint64_t request_id, wire::ReclaimMapping* claim);
  // Service thread: the answer to it.
  void Reclaimed(const wire::Reclaimed& reclaimed, uint64_t connection_id);
  // Service thread: a grant that nobody waits for any more.
  void GiveBack(const wire::Grant& grant, uint64_t connection_id);
  // Whether a mapping of this client crosses from `own` to `peer`.
  bool Uses(uint32_t own, uint32_t peer);
  // With the client's lock held.
  bool empty() const { return mappings_.empty(); }

 private:
  npu_ipc_status AttachOnce(AttachRequest* request, Deadline deadline, Mapping** result,
                            bool* rotated);
  npu_ipc_mapping_state StateOf(const Mapping& mapping);
  static void OnGrant(void* mapping, const Message& reply, uint64_t connection_id);
  npu_ipc_status Import(const hal::acl::IpcTable& vendor, Mapping* mapping, Deadline deadline,
                        hal::acl::Error* import_code);
  void TellOutcome(Mapping* mapping, wire::Status status, hal::acl::Error code);
  void TellDetached(uint64_t connection_id, uint64_t grant_id);
  void Forget(Mapping* mapping);

  Client* const client_;
  List<Mapping> mappings_;  // guarded by the client's lock
};

}  // namespace npu_ipc::runtime
