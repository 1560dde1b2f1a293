// Importer: memory that the program imports by a key which somebody has brought to it.
#include <string.h>

#include "runtime/src/client.h"
#include "runtime/src/errno_keeper.h"
#include "runtime/src/groups.h"
#include "runtime/src/importer.h"
#include "runtime/src/memory.h"

namespace npu_ipc::runtime {

npu_ipc_status Importer::AttachOwn(const char* name, uint64_t flags, uint32_t wait_ms, void** base,
                                   hal::acl::Error* code) {
  char groups[sizeof(wire::Welcome::groups)];
  client_->CopyGroups(groups);
  const Deadline deadline = Deadline::After(wait_ms);
  npu_ipc_status status = NPU_IPC_NOT_FOUND;
  for (GroupReader group(groups); group.Next();) {
    AttachRequest request = {name, group.name(), true, flags, hal::acl::kSuccess};
    Mapping* mapping = nullptr;
    const npu_ipc_status attached = Attach(&request, deadline, &mapping);
    if (attached == NPU_IPC_OK) {
      *base = mapping->base;
      return attached;
    }
    if (request.import_code != hal::acl::kSuccess) *code = request.import_code;
    if (attached != NPU_IPC_NOT_FOUND) status = attached;
  }
  return status;
}

bool Importer::CloseOwn(const hal::acl::IpcTable& vendor, const char* name, hal::acl::Error* code) {
  Mapping* mapping = nullptr;
  {
    const ErrnoKeeper keep_errno;
    MutexLock lock(client_->mutex());
    mapping = mappings_.front();
    while (mapping != nullptr &&
           (!mapping->programs_own || !mapping->handed_out || strcmp(mapping->name, name) != 0)) {
      mapping = mappings_.Next(mapping);
    }
    if (mapping == nullptr) return false;
    mappings_.Remove(mapping);  // from now on an answer to its claim finds nothing
    client_->events().Drop(&mapping->event);
  }
  *code = vendor.close(Key(mapping->grant));
  const ErrnoKeeper keep_errno;  // as the vendor has left it
  if (*code == hal::acl::kContextNull) {
    MutexLock lock(client_->mutex());
    mappings_.PushBack(mapping);
    return true;
  }
  wire::Detached detached = {};
  detached.header =
      MakeHeader<wire::Detached>(wire::MessageType::kDetached, client_->NextRequestId());
  detached.grant_id = mapping->grant_id;
  client_->TellAtOnce(mapping->connection_id, &detached, sizeof(detached));
  Delete(mapping);
  return true;
}

}  // namespace npu_ipc::runtime
