#include "runtime/src/importer.h"

#include <string.h>

#include "runtime/src/client.h"
#include "runtime/src/memory.h"

namespace npu_ipc::runtime {
namespace {

// Whether the grant describes what can be imported.
bool MakesSense(const wire::Grant& grant) {
  const void* const end = memchr(grant.handle, '\0', hal::acl::kExportKeyBytes);
  return end != nullptr && grant.handle[0] != 0 && grant.view_bytes > 0 &&
         grant.view_offset < grant.allocation_bytes &&
         grant.view_bytes <= grant.allocation_bytes - grant.view_offset;
}

npu_ipc_mapping_state StateFor(wire::WithdrawReason reason) {
  if (reason == wire::WithdrawReason::kExporterGone) return NPU_IPC_MAPPING_EXPORTER_GONE;
  if (reason == wire::WithdrawReason::kRevoked) return NPU_IPC_MAPPING_REVOKED;
  if (reason == wire::WithdrawReason::kRotated) return NPU_IPC_MAPPING_ROTATED;
  return NPU_IPC_MAPPING_WITHDRAWING;
}

npu_ipc_event_type EventFor(npu_ipc_mapping_state state) {
  if (state == NPU_IPC_MAPPING_EXPORTER_GONE) return NPU_IPC_EVENT_EXPORTER_GONE;
  if (state == NPU_IPC_MAPPING_REVOKED) return NPU_IPC_EVENT_REVOKED;
  if (state == NPU_IPC_MAPPING_ROTATED) return NPU_IPC_EVENT_ROTATED;
  return NPU_IPC_EVENT_WITHDRAWING;
}

}  // namespace

Importer::~Importer() {
  for (Mapping* mapping = mappings_.PopFront(); mapping != nullptr;
       mapping = mappings_.PopFront()) {
    Delete(mapping);
  }
}

npu_ipc_status Importer::Attach(AttachRequest* request, Deadline deadline, Mapping** result) {
  for (;;) {
    bool rotated = false;
    const npu_ipc_status status = AttachOnce(request, deadline, result, &rotated);
    // The key was renewed between the grant and the import: the next grant is of the new one.
    if (status == NPU_IPC_OK || !rotated || deadline.Passed()) return status;
  }
}

npu_ipc_status Importer::AttachOnce(AttachRequest* request, Deadline deadline, Mapping** result,
                                    bool* rotated) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr) return client_->Fail(NPU_IPC_NO_VENDOR_LIBRARY, error);
  Mapping* const mapping = New<Mapping>();
  if (mapping == nullptr) {
    return client_->Fail(NPU_IPC_NO_MEMORY, Text("the host is out of memory"));
  }
  const hal::acl::Error code = FindThreadDevice(*vendor, &mapping->device, &error);
  if (code != hal::acl::kSuccess) {
    Delete(mapping);
    return client_->Fail(NPU_IPC_VENDOR_ERROR, error, code);
  }
  mapping->pid = client_->process().pid;
  mapping->client = client_;
  mapping->event.mapping = reinterpret_cast<npu_ipc_mapping*>(mapping);
  mapping->flags = request->flags;
  mapping->programs_own = request->programs_own;
  client_->NameGroup(request->group, mapping->group);
  CopyText(mapping->name, sizeof(mapping->name), request->name);

  PendingRequest pending;
  wire::Attach& attach = pending.message.attach;
  // An older broker waits for what is not there as long as it may.
  attach.header = MakeHeader<wire::Attach>(request->programs_own && client_->BrokerMinor() >= 2
                                               ? wire::MessageType::kAttachPublished
                                               : wire::MessageType::kAttach,
                                           0);
  CopyText(attach.group, sizeof(attach.group), mapping->group);
  CopyText(attach.name, sizeof(attach.name), mapping->name);
  attach.claimed_physical_device = mapping->device.physical_device;
  pending.answer = wire::MessageType::kGrant;
  pending.read_by_caller = true;
  pending.on_answer = &OnGrant;
  pending.object = mapping;
  npu_ipc_status status = client_->Request(&pending, deadline);
  if (status != NPU_IPC_OK) {
    Delete(mapping);
    return status;
  }
  status = Import(*vendor, mapping, deadline, &request->import_code);
  if (status != NPU_IPC_OK) {
    *rotated = StateOf(*mapping) == NPU_IPC_MAPPING_ROTATED;
    Forget(mapping);
    return status;
  }
  bool told_meanwhile = false;
  {
    MutexLock lock(client_->mutex());
    mapping->handed_out = true;
    told_meanwhile = mapping->state != NPU_IPC_MAPPING_LIVE;
    if (told_meanwhile) client_->events().Push(&mapping->event, EventFor(mapping->state));
  }
  if (told_meanwhile) client_->AnnounceEvent();
  *result = mapping;
  return status;
}

void Importer::OnGrant(void* object, const Message& reply, uint64_t connection_id) {
  auto* const mapping = static_cast<Mapping*>(object);
  mapping->grant = reply.grant;
  mapping->grant_id = reply.grant.grant_id;
  mapping->connection_id = connection_id;
  mapping->claimed_over = connection_id;
  mapping->client->importer().mappings_.PushBack(mapping);
}

void Importer::TellOutcome(Mapping* mapping, wire::Status status, hal::acl::Error code) {
  wire::Imported imported = {};
  imported.header =
      MakeHeader<wire::Imported>(wire::MessageType::kImported, client_->NextRequestId());
  imported.status = status;
  imported.vendor_code = code;
  uint64_t connection_id = 0;
  {
    MutexLock lock(client_->mutex());
    imported.grant_id = mapping->grant_id;
    connection_id = mapping->connection_id;
  }
  client_->Tell(connection_id, &imported, sizeof(imported));
}

npu_ipc_status Importer::Import(const hal::acl::IpcTable& vendor, Mapping* mapping,
                                Deadline deadline, hal::acl::Error* import_code) {
  const wire::Grant& grant = mapping->grant;
  if (!wire::IsIpcKey(grant.handle_kind)) {
    TellOutcome(mapping, wire::Status::kUnsupported, 0);
    return client_->Fail(NPU_IPC_UNSUPPORTED,
                         Text("the region is of a kind that this version of libnpu_ipc cannot "
                              "import; update the importer"));
  }
  if (!MakesSense(grant)) {
    TellOutcome(mapping, wire::Status::kMalformed, 0);
    return client_->Fail(NPU_IPC_MALFORMED, Text("the broker's grant makes no sense"));
  }
  Text error;
  hal::acl::Error code = hal::acl::kSuccess;
  if (grant.enable_peer_access != 0) {
    const npu_ipc_status status = client_->process().peers.Enable(
        vendor, client_->id(), mapping->device.user_device, mapping->device.physical_device,
        grant.exporter_physical_device, deadline, &code, &error);
    if (status != NPU_IPC_OK) {
      const wire::Status failure = PeerFailure(code);
      TellOutcome(mapping, failure, code);
      return client_->Fail(failure == wire::Status::kPeerLimit ? NPU_IPC_PEER_LIMIT : status, error,
                           code);
    }
  }
  // The runtime's own way to the exporter's device fails where this container does not have it
  // (runtime: raw_device.cc), and there is one already.
  const uint64_t flags = grant.enable_peer_access != 0
                             ? mapping->flags & ~hal::acl::kFlagEnablePeerAccess
                             : mapping->flags;
  code = vendor.import_by_key(&mapping->base, Key(grant), flags);
  if (code == hal::acl::kSuccess) {
    TellOutcome(mapping, wire::Status::kOk, 0);
    return NPU_IPC_OK;
  }
  *import_code = code;
  TellOutcome(mapping, wire::Status::kInternal, code);
  const bool exporter_gone = StateOf(*mapping) == NPU_IPC_MAPPING_EXPORTER_GONE;
  error = DescribeVendorError("aclrtIpcMemImportByKey", code);
  error.Append(exporter_gone ? ": the exporter has ended meanwhile" : "");
  return client_->Fail(exporter_gone ? NPU_IPC_EXPORTER_GONE : NPU_IPC_VENDOR_ERROR, error, code);
}

npu_ipc_mapping_state Importer::StateOf(const Mapping& mapping) {
  MutexLock lock(client_->mutex());
  return mapping.state;
}

void Importer::TellDetached(uint64_t connection_id, uint64_t grant_id) {
  wire::Detached detached = {};
  detached.header =
      MakeHeader<wire::Detached>(wire::MessageType::kDetached, client_->NextRequestId());
  detached.grant_id = grant_id;
  client_->Tell(connection_id, &detached, sizeof(detached));
}

void Importer::Forget(Mapping* mapping) {
  {
    MutexLock lock(client_->mutex());
    mappings_.Remove(mapping);
    client_->events().Drop(&mapping->event);
  }
  Delete(mapping);
}

npu_ipc_status Importer::Detach(Mapping* mapping) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr) return client_->Fail(NPU_IPC_NO_VENDOR_LIBRARY, error);
  const hal::acl::Error code = vendor->close(Key(mapping->grant));
  if (code != hal::acl::kContextNull) {
    uint64_t connection_id = 0;
    uint64_t grant_id = 0;
    {
      MutexLock lock(client_->mutex());
      mappings_.Remove(mapping);  // from now on an answer to its claim finds nothing
      connection_id = mapping->connection_id;
      grant_id = mapping->grant_id;
    }
    TellDetached(connection_id, grant_id);
    Forget(mapping);
  }
  if (code == hal::acl::kSuccess) return NPU_IPC_OK;
  return client_->Fail(NPU_IPC_VENDOR_ERROR, DescribeVendorError("aclrtIpcMemClose", code), code);
}

void Importer::GetInfo(Mapping* mapping, npu_ipc_mapping_info* info) {
  const wire::Grant& grant = mapping->grant;
  MutexLock lock(client_->mutex());
  info->dev_ptr = static_cast<char*>(mapping->base) + grant.view_offset;
  info->bytes = grant.view_bytes;
  info->generation = grant.generation;
  info->state = mapping->state;
  info->device = mapping->device.physical_device;
  info->exporter_device = grant.exporter_physical_device;
  info->exporter_host_pid = grant.exporter_host_pid;
  CopyText(info->exporter_namespace, sizeof(info->exporter_namespace), grant.exporter_namespace);
  CopyText(info->exporter_pod, sizeof(info->exporter_pod), grant.exporter_pod);
  CopyText(info->exporter_pod_uid, sizeof(info->exporter_pod_uid), grant.exporter_pod_uid);
}

void Importer::Withdrawing(const wire::Withdrawing& withdrawing, uint64_t connection_id) {
  {
    MutexLock lock(client_->mutex());
    Mapping* mapping = mappings_.front();
    while (mapping != nullptr &&
           (mapping->grant_id != withdrawing.grant_id || mapping->connection_id != connection_id)) {
      mapping = mappings_.Next(mapping);
    }
    // A dead mapping stays dead, whatever is said of it later.
    if (mapping == nullptr || mapping->state == NPU_IPC_MAPPING_EXPORTER_GONE) return;
    mapping->state = StateFor(withdrawing.reason);
    if (!mapping->handed_out) return;  // Attach tells the program when it has the mapping
    client_->events().Push(&mapping->event, EventFor(mapping->state));
  }
  client_->AnnounceEvent();
}

void Importer::GiveBack(const wire::Grant& grant, uint64_t connection_id) {
  Mapping nobodys;
  nobodys.grant_id = grant.grant_id;
  nobodys.connection_id = connection_id;
  TellOutcome(&nobodys, wire::Status::kTimedOut, 0);
}

// As Exporter::NextClaim().
bool Importer::NextClaim(uint64_t connection_id, uint64_t request_id, wire::ReclaimMapping* claim) {
  MutexLock lock(client_->mutex());
  Mapping* const mapping = mappings_.front();
  if (mapping == nullptr || mapping->claimed_over == connection_id) return false;
  mappings_.Remove(mapping);
  mappings_.PushBack(mapping);
  mapping->claimed_over = connection_id;
  mapping->claim = request_id;
  const wire::Grant& grant = mapping->grant;
  *claim = {};
  claim->header = MakeHeader<wire::ReclaimMapping>(wire::MessageType::kReclaimMapping, request_id);
  CopyText(claim->group, sizeof(claim->group), mapping->group);
  CopyText(claim->name, sizeof(claim->name), mapping->name);
  claim->generation = grant.generation;
  claim->allocation_bytes = grant.allocation_bytes;
  claim->view_bytes = grant.view_bytes;
  claim->exporter_host_pid = grant.exporter_host_pid;
  claim->exporter_physical_device = grant.exporter_physical_device;
  claim->claimed_physical_device = mapping->device.physical_device;
  claim->enable_peer_access = grant.enable_peer_access;
  claim->handle_kind = grant.handle_kind;
  memcpy(claim->handle, grant.handle, sizeof(claim->handle));
  CopyText(claim->exporter_pod_uid, sizeof(claim->exporter_pod_uid), grant.exporter_pod_uid);
  return true;
}

void Importer::Reclaimed(const wire::Reclaimed& reclaimed, uint64_t connection_id) {
  {
    MutexLock lock(client_->mutex());
    Mapping* mapping = mappings_.front();
    while (mapping != nullptr && mapping->claim != reclaimed.header.request_id) {
      mapping = mappings_.Next(mapping);
    }
    if (mapping != nullptr) {
      mapping->claim = 0;
      mapping->grant_id = reclaimed.grant_id;
      mapping->connection_id = connection_id;
      return;
    }
  }
  TellDetached(connection_id, reclaimed.grant_id);  // it was meanwhile
}

bool Importer::Uses(uint32_t own, uint32_t peer) {
  MutexLock lock(client_->mutex());
  const Mapping* mapping = mappings_.front();
  while (mapping != nullptr && (mapping->device.physical_device != own ||
                                mapping->grant.exporter_physical_device != peer)) {
    mapping = mappings_.Next(mapping);
  }
  return mapping != nullptr;
}

}  // namespace npu_ipc::runtime
