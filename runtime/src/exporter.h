// What a client publishes.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "hal/acl/acl_ipc.h"
#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"
#include "runtime/src/deadline.h"
#include "runtime/src/event_queue.h"
#include "runtime/src/export_table.h"
#include "runtime/src/list.h"
#include "runtime/src/message.h"
#include "runtime/src/vendor.h"

namespace npu_ipc::runtime {

class Client;

// npu_ipc_region.
struct Region : ListLink<Region> {
  // Fixed once published.
  pid_t pid = 0;
  Client* client = nullptr;
  Export* exported = nullptr;
  ThreadDevice device;  // of the thread that published; its context is the service thread's, too
  char group[wire::kNameBytes] = {};
  char name[wire::kNameBytes] = {};
  size_t view_offset = 0;
  size_t view_bytes = 0;
  // Guarded by the client's lock.
  uint64_t region_id = 0;
  uint64_t generation = 0;     // higher each time that its key is renewed
  uint64_t connection_id = 0;  // over which the broker knows it: others know nothing of it
  uint64_t claimed_over = 0;   // the last connection over which it was published or claimed
  uint64_t claim = 0;          // the request that claims it, until it is answered
  uint64_t peers = 0;          // devices that were let in with peer access; one bit for 64 apart
  bool withdrawing = false;    // lets nobody new in
  bool lost = false;           // no longer published, without the program having asked for it
  bool programs_own = false;   // of a key that the program has made itself (Adopt)
  EventSource event;
};

struct PublishRequest {
  const char* name;
  const char* group;  // empty: the only one
  void* base;
  size_t bytes;
  size_t view_offset;
  size_t view_bytes;
};

// What the program has exported itself.
struct ProgramExport {
  void* base;
  size_t bytes;
  const char* key;
  const char* name;  // its key's (key_name.h)
  uint64_t flags;    // that it was exported with
};

class Exporter {
 public:
  explicit Exporter(Client* client) : client_(client) {}

  npu_ipc_status Publish(const PublishRequest& request, Region** result);
  npu_ipc_status Withdraw(Region* region, uint32_t drain_ms, bool force);

  // Memory that the program has exported itself, by a key that it brings to its importers; in
  // program_exports.cc.
  //
  // Publishes it, by its key's name, in each group that the pod may export to. OK where it is
  // published in one, or is going to be once there is a broker again: who waits no longer than
  // `deadline`. Otherwise why not, and it is not known here.
  npu_ipc_status Adopt(const ProgramExport& exported, Deadline deadline);
  // The key that such an export has now, which is another than the program's once it was renewed.
  // False where there is none of that name.
  bool CurrentKey(const char* name, char (&key)[hal::acl::kExportKeyBytes]);
  // The program closes such an export, without waiting for anybody; errno is the vendor's. False
  // where there is none of that name; else `*code` is the vendor's.
  bool CloseOwn(const hal::acl::IpcTable& vendor, const char* name, hal::acl::Error* code);

  void GetInfo(Region* region, npu_ipc_region_info* info);

  // Service thread: lets a process in, and tells the broker.
  void Admit(const wire::Admit& admit, uint64_t connection_id, Deadline deadline);
  // Service thread: closes the key of a region's allocation and makes another, and tells the
  // broker.
  void Rotate(const wire::Rotate& rotate, uint64_t connection_id, Deadline deadline);
  // Service thread: a region has another generation, or is published no longer.
  void Republished(const wire::Republished& republished, uint64_t connection_id);
  // Service thread: an answer to a publish that nobody waits for any more.
  void GiveBack(const wire::Published& published, uint64_t connection_id);
  // Service thread: the next region that the broker at this connection has not been told of. False
  // where there is none.
  bool NextClaim(uint64_t connection_id, uint64_t request_id, Message* claim);
  // Service thread: the answers to it.
  void Reclaimed(const wire::Published& published, uint64_t connection_id);
  void ClaimRefused(uint64_t request_id, uint64_t connection_id);
  // Whether a region that the broker at this connection does not know let importers in from `peer`.
  bool UsesUnknown(uint32_t own, uint32_t peer, uint64_t connection_id);
  // With the client's lock held: the broker that knew the regions is gone, and this one cannot be
  // told of them.
  void LoseAll();
  // Closes every region, without waiting for importers.
  void CloseAll();

 private:
  static wire::Withdraw MakeWithdraw(uint64_t region_id, uint32_t drain_ms, uint64_t request_id);
  static void OnPublished(void* region, const Message& reply, uint64_t connection_id);
  npu_ipc_status AskToWithdraw(Region* region, uint32_t drain_ms);
  npu_ipc_status AwaitKnown(Region* region, Deadline deadline, uint64_t* connection_id,
                            uint64_t* region_id);
  void TellClosed(uint64_t connection_id, uint64_t region_id);
  void LoseOne(Region* region);
  Region* FindClaim(uint64_t request_id) const;
  static void FillPublish(const Region& region, const char* key, wire::Publish* publish);
  // Whitelists, unless everybody is `listed` anyway, on the service thread. kOk, or why not with
  // `*code`: told to the broker and to the log, not to the last error, which is about the program's
  // own calls.
  wire::Status LetIn(const wire::Admit& admit, const char* key, bool listed,
                     const ThreadDevice& device, Deadline deadline, hal::acl::Error* code);
  void Lose(uint64_t region_id);
  // rotation.cc
  Export* ReserveToRenew(uint64_t region_id, uint64_t connection_id, ThreadDevice* device);
  wire::Status RenewReserved(Export* exported, const ThreadDevice& device, wire::Rotated* rotated);
  void LoseNamesOf(const Export* exported);
  // program_exports.cc
  npu_ipc_status AdoptInto(const char* group, const ProgramExport& program, Export* exported,
                           const ThreadDevice& device, Deadline deadline);
  Region* FindOwn(const char* name) const;
  void TellEnded(const Region& region);
  void CloseAbandoned(Export* exported);
  void ReleaseQuietly(const hal::acl::IpcTable& vendor, Export* exported);
  Region* Find(uint64_t region_id) const;

  Client* const client_;
  List<Region> regions_;  // guarded by the client's lock
};

}  // namespace npu_ipc::runtime
