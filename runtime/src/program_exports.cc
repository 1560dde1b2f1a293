// Exporter: keys that the program has made itself, and goes on using.
#include <string.h>

#include "runtime/src/client.h"
#include "runtime/src/errno_keeper.h"
#include "runtime/src/exporter.h"
#include "runtime/src/groups.h"
#include "runtime/src/memory.h"

namespace npu_ipc::runtime {

npu_ipc_status Exporter::Adopt(const ProgramExport& program, Deadline deadline) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr) return client_->Fail(NPU_IPC_NO_VENDOR_LIBRARY, error);
  ThreadDevice device;
  const hal::acl::Error code = FindThreadDevice(*vendor, &device, &error);
  if (code != hal::acl::kSuccess) return client_->Fail(NPU_IPC_VENDOR_ERROR, error, code);
  Export* const exported =
      client_->process().exports.Adopt(program.base, program.bytes, program.key, program.flags);
  if (exported == nullptr) return NPU_IPC_NO_MEMORY;
  char groups[sizeof(wire::Welcome::groups)];
  client_->CopyGroups(groups);
  npu_ipc_status status = NPU_IPC_ROLE_DENIED;
  bool published = false;
  for (GroupReader group(groups); group.Next();) {
    if (!group.MayExport()) continue;
    status = AdoptInto(group.name(), program, exported, device, deadline);
    published = published || status == NPU_IPC_OK;
  }
  if (published) return NPU_IPC_OK;
  client_->process().exports.Forget(exported);
  return status;
}

npu_ipc_status Exporter::AdoptInto(const char* group, const ProgramExport& program,
                                   Export* exported, const ThreadDevice& device,
                                   Deadline deadline) {
  Region* const region = New<Region>();
  if (region == nullptr) return NPU_IPC_NO_MEMORY;
  region->pid = client_->process().pid;
  region->client = client_;
  region->exported = exported;
  region->device = device;
  region->programs_own = true;
  CopyText(region->group, sizeof(region->group), group);
  CopyText(region->name, sizeof(region->name), program.name);
  region->view_bytes = program.bytes;
  PendingRequest pending;
  FillPublish(*region, program.key, &pending.message.publish);
  pending.answer = wire::MessageType::kPublished;
  pending.on_answer = &OnPublished;
  pending.object = region;
  const npu_ipc_status status =
      client_->Connected() ? client_->Request(&pending, deadline) : NPU_IPC_DISCONNECTED;
  if (status == NPU_IPC_OK) return status;
  if (status != NPU_IPC_DISCONNECTED && status != NPU_IPC_NO_BROKER &&
      status != NPU_IPC_TIMED_OUT) {
    Delete(region);
    return status;
  }
  // It is told of over the next connection. The one that may have come meanwhile has been told
  // already of all that there was.
  {
    MutexLock lock(client_->mutex());
    regions_.PushBack(region);
  }
  client_->Reconnect();
  return NPU_IPC_OK;
}

Region* Exporter::FindOwn(const char* name) const {
  Region* region = regions_.front();
  while (region != nullptr && (!region->programs_own || strcmp(region->name, name) != 0)) {
    region = regions_.Next(region);
  }
  return region;
}

bool Exporter::CurrentKey(const char* name, char (&key)[hal::acl::kExportKeyBytes]) {
  MutexLock lock(client_->mutex());
  const Region* const region = FindOwn(name);
  return region != nullptr && client_->process().exports.CopyKey(region->exported, key);
}

bool Exporter::CloseOwn(const hal::acl::IpcTable& vendor, const char* name, hal::acl::Error* code) {
  ExportTable& exports = client_->process().exports;
  List<Region> ended;  // from now on nobody is let in, and nobody renews the key
  Export* exported = nullptr;
  ExportTable::Closing closing = ExportTable::Closing::kNoKey;
  char key[hal::acl::kExportKeyBytes] = {};
  {
    const ErrnoKeeper keep_errno;
    MutexLock lock(client_->mutex());
    for (Region* region = FindOwn(name); region != nullptr; region = FindOwn(name)) {
      exported = region->exported;
      regions_.Remove(region);
      client_->events().Drop(&region->event);
      ended.PushBack(region);
    }
    if (exported == nullptr) return false;
    closing = exports.ReserveToClose(exported, key);
  }
  *code = closing == ExportTable::Closing::kReserved ? vendor.close(key) : hal::acl::kSuccess;
  const ErrnoKeeper keep_errno;  // as the vendor has left it
  if (*code == hal::acl::kContextNull) {
    MutexLock lock(client_->mutex());
    for (Region* region = ended.PopFront(); region != nullptr; region = ended.PopFront()) {
      regions_.PushBack(region);
    }
    exports.Unreserve(exported);
    return true;
  }
  for (Region* region = ended.PopFront(); region != nullptr; region = ended.PopFront()) {
    TellEnded(*region);
    Delete(region);
  }
  if (closing != ExportTable::Closing::kAbandoned) exports.Forget(exported);
  return true;
}

void Exporter::TellEnded(const Region& region) {
  if (region.region_id == 0) return;
  const wire::Withdraw withdraw = MakeWithdraw(region.region_id, 0, client_->NextRequestId());
  client_->TellAtOnce(region.connection_id, &withdraw, sizeof(withdraw));
  {
    MutexLock lock(client_->mutex());
    if (!client_->BrokerTakesClaims()) return;
  }
  wire::Closed closed = {};
  closed.header = MakeHeader<wire::Closed>(wire::MessageType::kClosed, client_->NextRequestId());
  closed.region_id = region.region_id;
  client_->TellAtOnce(region.connection_id, &closed, sizeof(closed));
}

// The program has closed it while this thread, which has its context, renewed its key.
void Exporter::CloseAbandoned(Export* exported) {
  Text ignored;
  const hal::acl::IpcTable* const vendor = FindVendor(&ignored);
  char key[hal::acl::kExportKeyBytes] = {};
  if (vendor != nullptr && client_->process().exports.CopyKey(exported, key)) vendor->close(key);
  client_->process().exports.Forget(exported);
}

}  // namespace npu_ipc::runtime
