#include "runtime/src/exporter.h"

#include <string.h>

#include "runtime/src/client.h"
#include "runtime/src/memory.h"
#include "runtime/src/raw_log.h"

namespace npu_ipc::runtime {
namespace {

npu_ipc_region* Handle(Region* region) { return reinterpret_cast<npu_ipc_region*>(region); }

wire::Withdraw MakeWithdraw(uint64_t region_id, uint32_t drain_ms, uint64_t request_id) {
  wire::Withdraw withdraw = {};
  withdraw.header = MakeHeader<wire::Withdraw>(wire::MessageType::kWithdraw, request_id);
  withdraw.region_id = region_id;
  withdraw.drain_milliseconds = drain_ms;
  return withdraw;
}

}  // namespace

npu_ipc_status Exporter::Publish(const PublishRequest& request, Region** result) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr) return client_->Fail(NPU_IPC_NO_VENDOR_LIBRARY, error);
  ThreadDevice device;
  hal::acl::Error code = FindThreadDevice(*vendor, &device, &error);
  if (code != hal::acl::kSuccess) return client_->Fail(NPU_IPC_VENDOR_ERROR, error, code);

  const Deadline deadline = Deadline::After(client_->timeout_ms());
  Export* exported = nullptr;
  npu_ipc_status status = client_->process().exports.Acquire(*vendor, request.base, request.bytes,
                                                             deadline, &exported, &code, &error);
  if (status != NPU_IPC_OK) return client_->Fail(status, error, code);
  Region* const region = New<Region>();
  if (region == nullptr) {
    ReleaseQuietly(*vendor, exported);
    return client_->Fail(NPU_IPC_NO_MEMORY, Text("the host is out of memory"));
  }
  region->pid = client_->process().pid;
  region->client = client_;
  region->exported = exported;
  region->device = device;
  region->event.region = Handle(region);

  PendingRequest pending;
  wire::Publish& publish = pending.message.publish;
  publish.header = MakeHeader<wire::Publish>(wire::MessageType::kPublish, 0);
  CopyText(publish.group, sizeof(publish.group), request.group);
  CopyText(publish.name, sizeof(publish.name), request.name);
  publish.handle_kind = wire::HandleKind::kIpcKey;
  publish.claimed_physical_device = device.physical_device;
  char key[hal::acl::kExportKeyBytes] = {};
  client_->process().exports.CopyKey(exported, key);
  memcpy(publish.handle, key, sizeof(key));
  publish.allocation_bytes = request.bytes;
  publish.view_offset = request.view_offset;
  publish.view_bytes = request.view_bytes;
  pending.answer = wire::MessageType::kPublished;
  pending.on_answer = &OnPublished;
  pending.object = region;
  status = client_->Request(&pending, deadline);
  if (status != NPU_IPC_OK) {
    ReleaseQuietly(*vendor, exported);
    Delete(region);
    return status;
  }
  *result = region;
  return status;
}

void Exporter::OnPublished(void* object, const Message& reply, uint64_t connection_id) {
  auto* const region = static_cast<Region*>(object);
  region->region_id = reply.published.region_id;
  region->generation = reply.published.generation;
  region->connection_id = connection_id;
  region->client->exporter().regions_.PushBack(region);
}

void Exporter::GiveBack(const wire::Published& published, uint64_t connection_id) {
  const wire::Withdraw withdraw = MakeWithdraw(published.region_id, 0, client_->NextRequestId());
  client_->Tell(connection_id, &withdraw, sizeof(withdraw));
}

npu_ipc_status Exporter::AskToWithdraw(Region* region, uint32_t drain_ms, bool force) {
  // Another name still needs the key: its importers are not asked for, as nothing is closed yet.
  const bool last = client_->process().exports.IsLastName(region->exported);
  PendingRequest pending;
  pending.message.withdraw = MakeWithdraw(region->region_id, drain_ms, 0);
  pending.answer = wire::MessageType::kWithdrawn;
  Deadline deadline = Deadline::Never();
  if (drain_ms != NPU_IPC_FOREVER) {
    deadline = Deadline::From(Deadline::After(drain_ms).at(), client_->timeout_ms());
  }
  const npu_ipc_status status = client_->RequestOver(region->connection_id, &pending, deadline);
  if (status == NPU_IPC_NOT_FOUND) return NPU_IPC_OK;  // withdrawn before, and nobody holds it
  if (status == NPU_IPC_DISCONNECTED || status == NPU_IPC_RECONNECT ||
      status == NPU_IPC_SHUTTING_DOWN) {
    if (!last || force) return NPU_IPC_OK;
    return client_->Fail(
        NPU_IPC_DISCONNECTED,
        Text("the broker that knew this region's importers is gone, so they cannot "
             "be asked to detach; withdraw with force closes the export under them"));
  }
  if (status != NPU_IPC_OK) return status;
  const wire::Withdrawn& withdrawn = pending.reply.withdrawn;
  if (withdrawn.status == wire::Status::kOk) return NPU_IPC_OK;
  Text error("importers have not detached: ");
  return client_->Fail(NPU_IPC_STILL_HELD, error.Append(withdrawn.holders));
}

npu_ipc_status Exporter::Withdraw(Region* region, uint32_t drain_ms, bool force) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr) return client_->Fail(NPU_IPC_NO_VENDOR_LIBRARY, error);
  {
    MutexLock lock(client_->mutex());
    region->withdrawing = true;
  }
  const npu_ipc_status status = AskToWithdraw(region, drain_ms, force);
  if (status != NPU_IPC_OK && !force) return status;

  bool closed = false;
  hal::acl::Error code = hal::acl::kSuccess;
  const npu_ipc_status released = client_->process().exports.Release(
      *vendor, region->exported, Deadline::After(client_->timeout_ms()), &closed, &code);
  if (released == NPU_IPC_TIMED_OUT) {
    return client_->Fail(released, Text("the library's thread is renewing the key of this "
                                        "allocation; withdraw again"));
  }
  if (code == hal::acl::kContextNull) {
    return client_->Fail(NPU_IPC_VENDOR_ERROR, DescribeVendorError("aclrtIpcMemClose", code), code);
  }
  if (closed && status != NPU_IPC_OK) TellClosed(*region);
  {
    MutexLock lock(client_->mutex());
    regions_.Remove(region);
    client_->events().Drop(&region->event);
  }
  Delete(region);
  if (code == hal::acl::kSuccess) return NPU_IPC_OK;
  return client_->Fail(NPU_IPC_VENDOR_ERROR, DescribeVendorError("aclrtIpcMemClose", code), code);
}

void Exporter::GetInfo(Region* region, npu_ipc_region_info* info) {
  MutexLock lock(client_->mutex());
  info->generation = region->generation;
  info->device = region->device.physical_device;
  info->withdrawn = region->lost || region->withdrawing ? 1 : 0;
}

Region* Exporter::Find(uint64_t region_id) const {
  Region* region = regions_.front();
  while (region != nullptr && region->region_id != region_id) region = regions_.Next(region);
  return region;
}

void Exporter::Admit(const wire::Admit& admit, uint64_t connection_id, Deadline deadline) {
  if (deadline.Passed()) {
    RawLog(Text("dropped an admission that came too late"));
    return;
  }
  char key[hal::acl::kExportKeyBytes] = {};
  ThreadDevice device;
  bool published = false;
  {
    MutexLock lock(client_->mutex());
    const Region* const region = Find(admit.region_id);
    published = region != nullptr && !region->withdrawing && !region->lost &&
                region->connection_id == connection_id;
    if (published) {
      published = client_->process().exports.CopyKey(region->exported, key);
      device = region->device;
    }
  }
  wire::Admitted admitted = {};
  admitted.header =
      MakeHeader<wire::Admitted>(wire::MessageType::kAdmitted, admit.header.request_id);
  admitted.region_id = admit.region_id;
  admitted.importer_host_pid = admit.importer_host_pid;
  admitted.importer_physical_device = admit.importer_physical_device;
  admitted.status = published ? LetIn(admit, key, device, deadline, &admitted.vendor_code)
                              : wire::Status::kExporterGone;
  client_->Tell(connection_id, &admitted, sizeof(admitted));
  if (RawLogEnabled()) {
    RawLog(Text("admitted host pid ")
               .Append(int64_t{admit.importer_host_pid})
               .Append(" with status ")
               .Append(int64_t{static_cast<int32_t>(admitted.status)})
               .Append(", vendor code ")
               .Append(int64_t{admitted.vendor_code}));
  }
}

wire::Status Exporter::LetIn(const wire::Admit& admit, const char* key, const ThreadDevice& device,
                             Deadline deadline, hal::acl::Error* code) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr || admit.importer_host_pid <= 0) return wire::Status::kInternal;
  *code = vendor->set_current_context(device.context);
  if (*code != hal::acl::kSuccess) {
    RawLog(DescribeVendorError("aclrtSetCurrentContext", *code));
    Lose(admit.region_id);
    return wire::Status::kExporterFailed;
  }
  if (admit.enable_peer_access != 0) {
    const npu_ipc_status status = client_->process().peers.Enable(
        *vendor, client_->id(), device.user_device, device.physical_device,
        admit.importer_physical_device, deadline, code, &error);
    if (status != NPU_IPC_OK) {
      RawLog(error);
      return PeerFailure(*code);
    }
  }
  int32_t pid = admit.importer_host_pid;
  *code = vendor->set_import_pid(key, &pid, 1);
  if (*code == hal::acl::kSuccess) return wire::Status::kOk;
  RawLog(DescribeVendorError("aclrtIpcMemSetImportPid", *code));
  return wire::Status::kExporterFailed;
}

void Exporter::Lose(uint64_t region_id) {
  uint64_t connection_id = 0;
  {
    MutexLock lock(client_->mutex());
    Region* const region = Find(region_id);
    if (region == nullptr || region->lost) return;
    region->lost = true;
    connection_id = region->connection_id;
    client_->events().Push(&region->event, NPU_IPC_EVENT_REGION_LOST);
  }
  client_->AnnounceEvent();
  const wire::Withdraw withdraw = MakeWithdraw(region_id, 0, client_->NextRequestId());
  client_->Tell(connection_id, &withdraw, sizeof(withdraw));
}

void Exporter::LoseAll() {
  for (Region* region = regions_.front(); region != nullptr; region = regions_.Next(region)) {
    if (region->lost) continue;
    region->lost = true;
    client_->events().Push(&region->event, NPU_IPC_EVENT_REGION_LOST);
  }
}

void Exporter::CloseAll() {
  Text ignored;
  const hal::acl::IpcTable* const vendor = FindVendor(&ignored);
  const Deadline deadline = Deadline::After(client_->timeout_ms());
  for (;;) {
    Region* region = nullptr;
    {
      MutexLock lock(client_->mutex());
      region = regions_.PopFront();
      if (region != nullptr) client_->events().Drop(&region->event);
    }
    if (region == nullptr) return;
    const wire::Withdraw withdraw = MakeWithdraw(region->region_id, 0, client_->NextRequestId());
    client_->Tell(region->connection_id, &withdraw, sizeof(withdraw));
    bool closed = false;
    hal::acl::Error code = hal::acl::kSuccess;
    if (vendor != nullptr) {
      client_->process().exports.Release(*vendor, region->exported, deadline, &closed, &code);
    }
    if (closed) TellClosed(*region);
    Delete(region);
  }
}

}  // namespace npu_ipc::runtime
