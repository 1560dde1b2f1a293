#include "runtime/src/exporter.h"

#include <string.h>

#include "runtime/src/client.h"
#include "runtime/src/memory.h"
#include "runtime/src/raw_log.h"

namespace npu_ipc::runtime {
namespace {

uint64_t PeerBit(uint32_t physical_device) { return uint64_t{1} << physical_device % 64; }

npu_ipc_region* Handle(Region* region) { return reinterpret_cast<npu_ipc_region*>(region); }

wire::HandleKind KindOf(const Export& exported) {
  const bool open = (exported.flags & hal::acl::kFlagDisablePidValidation) != 0;
  return open ? wire::HandleKind::kOpenIpcKey : wire::HandleKind::kIpcKey;
}

}  // namespace

wire::Withdraw Exporter::MakeWithdraw(uint64_t region_id, uint32_t drain_ms, uint64_t request_id) {
  wire::Withdraw withdraw = {};
  withdraw.header = MakeHeader<wire::Withdraw>(wire::MessageType::kWithdraw, request_id);
  withdraw.region_id = region_id;
  withdraw.drain_milliseconds = drain_ms;
  return withdraw;
}

npu_ipc_status Exporter::Publish(const PublishRequest& request, Region** result) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr) return client_->Fail(NPU_IPC_NO_VENDOR_LIBRARY, error);
  ThreadDevice device;
  hal::acl::Error code = FindThreadDevice(*vendor, &device, &error);
  if (code != hal::acl::kSuccess) return client_->Fail(NPU_IPC_VENDOR_ERROR, error, code);

  const Deadline deadline = Deadline::After(client_->timeout_ms());
  Export* exported = nullptr;
  char key[hal::acl::kExportKeyBytes] = {};
  npu_ipc_status status = client_->process().exports.Acquire(
      *vendor, request.base, request.bytes, deadline, &exported, key, &code, &error);
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
  client_->NameGroup(request.group, region->group);
  CopyText(region->name, sizeof(region->name), request.name);
  region->view_offset = request.view_offset;
  region->view_bytes = request.view_bytes;

  PendingRequest pending;
  FillPublish(*region, key, &pending.message.publish);
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

void Exporter::FillPublish(const Region& region, const char* key, wire::Publish* publish) {
  *publish = {};
  publish->header = MakeHeader<wire::Publish>(wire::MessageType::kPublish, 0);
  CopyText(publish->group, sizeof(publish->group), region.group);
  CopyText(publish->name, sizeof(publish->name), region.name);
  publish->handle_kind = KindOf(*region.exported);
  publish->claimed_physical_device = region.device.physical_device;
  memcpy(publish->handle, key, hal::acl::kExportKeyBytes);
  publish->allocation_bytes = region.exported->bytes;
  publish->view_offset = region.view_offset;
  publish->view_bytes = region.view_bytes;
}

void Exporter::OnPublished(void* object, const Message& reply, uint64_t connection_id) {
  auto* const region = static_cast<Region*>(object);
  region->region_id = reply.published.region_id;
  region->generation = reply.published.generation;
  region->connection_id = connection_id;
  region->claimed_over = connection_id;
  region->client->exporter().regions_.PushBack(region);
}

void Exporter::GiveBack(const wire::Published& published, uint64_t connection_id) {
  const wire::Withdraw withdraw = MakeWithdraw(published.region_id, 0, client_->NextRequestId());
  client_->Tell(connection_id, &withdraw, sizeof(withdraw));
}

// Waits until the broker of now knows the region: it may be about to be told (reclaim.h).
npu_ipc_status Exporter::AwaitKnown(Region* region, Deadline deadline, uint64_t* connection_id,
                                    uint64_t* region_id) {
  for (;;) {
    const npu_ipc_status status = client_->EnsureConnected(deadline);
    if (status != NPU_IPC_OK) return NPU_IPC_DISCONNECTED;
    client_->mutex().Lock();
    const uint64_t current = client_->connection_id();
    const bool known = region->connection_id == current;
    const bool refused = region->claimed_over == current && region->claim == 0;
    const bool hopeless = refused || !client_->BrokerTakesClaims();
    *connection_id = current;
    *region_id = region->region_id;
    const uint32_t seen = client_->changed().Current();
    client_->mutex().Unlock();
    if (known) return NPU_IPC_OK;
    if (hopeless || deadline.Passed()) return NPU_IPC_DISCONNECTED;
    client_->changed().WaitWhile(seen, deadline);
  }
}

npu_ipc_status Exporter::AskToWithdraw(Region* region, uint32_t drain_ms) {
  const Deadline drained = Deadline::After(drain_ms);
  const Deadline deadline =
      drained.never() ? drained : Deadline::From(drained.at(), client_->timeout_ms());
  PendingRequest pending;
  npu_ipc_status status = NPU_IPC_OK;
  uint32_t drain_left_ms = drain_ms;
  do {
    uint64_t connection_id = 0;
    uint64_t region_id = 0;
    status = AwaitKnown(region, deadline, &connection_id, &region_id);
    if (status != NPU_IPC_OK) break;
    pending.message.withdraw = MakeWithdraw(region_id, drain_left_ms, 0);
    pending.answer = wire::MessageType::kWithdrawn;
    status = client_->RequestOver(connection_id, &pending, deadline);
    // Another broker may have come: it is asked again, once it knows the region.
    drain_left_ms = drained.RemainingMilliseconds();
  } while ((status == NPU_IPC_DISCONNECTED || status == NPU_IPC_RECONNECT ||
            status == NPU_IPC_SHUTTING_DOWN) &&
           !deadline.Passed());
  if (status == NPU_IPC_NOT_FOUND) return NPU_IPC_OK;  // withdrawn before, and nobody holds it
  if (status == NPU_IPC_DISCONNECTED || status == NPU_IPC_RECONNECT ||
      status == NPU_IPC_SHUTTING_DOWN) {
    return client_->Fail(
        NPU_IPC_DISCONNECTED,
        Text(
            "the broker is away, or does not know this region, so its importers cannot be asked to "
            "detach; withdraw with force closes the export under them"));
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
  // Another name still needs the key: its importers are not asked for, as nothing is closed yet.
  const bool last = client_->process().exports.IsLastName(region->exported);
  const npu_ipc_status status = AskToWithdraw(region, drain_ms);
  char key[hal::acl::kExportKeyBytes] = {};
  const bool nothing_to_lose =
      status == NPU_IPC_DISCONNECTED &&
      (!last || !client_->process().exports.CopyKey(region->exported, key));
  if (status != NPU_IPC_OK && !nothing_to_lose && !force) return status;

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
  uint64_t connection_id = 0;
  uint64_t region_id = 0;
  {
    MutexLock lock(client_->mutex());
    regions_.Remove(region);
    client_->events().Drop(&region->event);
    connection_id = region->connection_id;
    region_id = region->region_id;
  }
  Delete(region);
  if (closed && status != NPU_IPC_OK) TellClosed(connection_id, region_id);
  if (code == hal::acl::kSuccess) return NPU_IPC_OK;
  return client_->Fail(NPU_IPC_VENDOR_ERROR, DescribeVendorError("aclrtIpcMemClose", code), code);
}

// The driver has pulled the pages away from whoever still had them: the broker tells them.
void Exporter::TellClosed(uint64_t connection_id, uint64_t region_id) {
  {
    MutexLock lock(client_->mutex());
    if (!client_->BrokerTakesClaims()) return;  // of 1.0, which has no word for it
  }
  wire::Closed closed = {};
  closed.header = MakeHeader<wire::Closed>(wire::MessageType::kClosed, client_->NextRequestId());
  closed.region_id = region_id;
  client_->Tell(connection_id, &closed, sizeof(closed));
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
  bool listed = false;
  {
    MutexLock lock(client_->mutex());
    Region* const region = Find(admit.region_id);
    published = region != nullptr && !region->withdrawing && !region->lost &&
                region->connection_id == connection_id;
    if (published) {
      if (admit.enable_peer_access != 0) region->peers |= PeerBit(admit.importer_physical_device);
      published = client_->process().exports.CopyKey(region->exported, key);
      device = region->device;
      listed = KindOf(*region->exported) == wire::HandleKind::kOpenIpcKey;
    }
  }
  wire::Admitted admitted = {};
  admitted.header =
      MakeHeader<wire::Admitted>(wire::MessageType::kAdmitted, admit.header.request_id);
  admitted.region_id = admit.region_id;
  admitted.importer_host_pid = admit.importer_host_pid;
  admitted.importer_physical_device = admit.importer_physical_device;
  admitted.status = published ? LetIn(admit, key, listed, device, deadline, &admitted.vendor_code)
                              : wire::Status::kExporterGone;
  if (admitted.status == wire::Status::kOk) {
    MutexLock lock(client_->mutex());
    Region* const region = Find(admit.region_id);
    if (region != nullptr) region->exported->whitelisted.fetch_add(1, std::memory_order_relaxed);
  }
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

wire::Status Exporter::LetIn(const wire::Admit& admit, const char* key, bool listed,
                             const ThreadDevice& device, Deadline deadline, hal::acl::Error* code) {
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
  if (listed) return wire::Status::kOk;
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
    connection_id = region->connection_id;
    LoseOne(region);
  }
  client_->AnnounceEvent();
  const wire::Withdraw withdraw = MakeWithdraw(region_id, 0, client_->NextRequestId());
  client_->Tell(connection_id, &withdraw, sizeof(withdraw));
}

void Exporter::LoseOne(Region* region) {
  if (region->lost) return;
  region->lost = true;
  client_->events().Push(&region->event, NPU_IPC_EVENT_REGION_LOST);
}

void Exporter::LoseAll() {
  for (Region* region = regions_.front(); region != nullptr; region = regions_.Next(region)) {
    if (region->claimed_over != client_->connection_id()) LoseOne(region);
  }
}

// Those that were claimed, or published since, are moved behind those that were not: the first one
// tells whether there is any left.
bool Exporter::NextClaim(uint64_t connection_id, uint64_t request_id, Message* message) {
  MutexLock lock(client_->mutex());
  Region* region = nullptr;
  char key[hal::acl::kExportKeyBytes] = {};
  do {
    region = regions_.front();
    if (region == nullptr || region->claimed_over == connection_id) return false;
    regions_.Remove(region);
    regions_.PushBack(region);
    region->claimed_over = connection_id;
    // Without a key, after a renewal that failed, there is nothing to claim.
  } while (!client_->process().exports.CopyKey(region->exported, key));
  region->claim = request_id;
  if (region->generation == 0) {  // no broker has been told of it yet
    FillPublish(*region, key, &message->publish);
    message->header.request_id = request_id;
    return true;
  }
  wire::ReclaimRegion* const claim = &message->reclaim_region;
  *claim = {};
  claim->header = MakeHeader<wire::ReclaimRegion>(wire::MessageType::kReclaimRegion, request_id);
  CopyText(claim->group, sizeof(claim->group), region->group);
  CopyText(claim->name, sizeof(claim->name), region->name);
  claim->handle_kind = KindOf(*region->exported);
  claim->claimed_physical_device = region->device.physical_device;
  memcpy(claim->handle, key, sizeof(key));
  claim->allocation_bytes = region->exported->bytes;
  claim->view_offset = region->view_offset;
  claim->view_bytes = region->view_bytes;
  claim->generation = region->generation;
  claim->whitelisted = region->exported->whitelisted.load(std::memory_order_relaxed);
  claim->withdrawn = region->withdrawing || region->lost ? 1 : 0;
  return true;
}

Region* Exporter::FindClaim(uint64_t request_id) const {
  Region* region = regions_.front();
  while (region != nullptr && region->claim != request_id) region = regions_.Next(region);
  return region;
}

void Exporter::Reclaimed(const wire::Published& published, uint64_t connection_id) {
  bool withdrawn_meanwhile = false;
  {
    MutexLock lock(client_->mutex());
    Region* const region = FindClaim(published.header.request_id);
    withdrawn_meanwhile = region == nullptr;
    if (region != nullptr) {
      region->claim = 0;
      region->region_id = published.region_id;
      region->connection_id = connection_id;
      if (region->generation == 0) region->generation = published.generation;
      if (published.generation == 0 && !region->withdrawing) LoseOne(region);
    }
  }
  client_->AnnounceEvent();
  client_->changed().Announce();
  if (withdrawn_meanwhile) GiveBack(published, connection_id);
}

void Exporter::ClaimRefused(uint64_t request_id, uint64_t connection_id) {
  {
    MutexLock lock(client_->mutex());
    Region* const region = FindClaim(request_id);
    if (region == nullptr || region->claimed_over != connection_id) return;
    region->claim = 0;
    LoseOne(region);
  }
  client_->AnnounceEvent();
  client_->changed().Announce();
}

bool Exporter::UsesUnknown(uint32_t own, uint32_t peer, uint64_t connection_id) {
  MutexLock lock(client_->mutex());
  const Region* region = regions_.front();
  while (region != nullptr &&
         (region->connection_id == connection_id || region->device.physical_device != own ||
          (region->peers & PeerBit(peer)) == 0)) {
    region = regions_.Next(region);
  }
  return region != nullptr;
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
    if (closed) TellClosed(region->connection_id, region->region_id);
    Delete(region);
  }
}

}  // namespace npu_ipc::runtime
