// Exporter: keys that are closed and made anew, and what follows for the regions.
#include <string.h>

#include "runtime/src/client.h"
#include "runtime/src/exporter.h"
#include "runtime/src/raw_log.h"

namespace npu_ipc::runtime {

void Exporter::Rotate(const wire::Rotate& rotate, uint64_t connection_id, Deadline deadline) {
  if (deadline.Passed()) {
    RawLog(Text("dropped a rotation that came too late"));
    return;
  }
  wire::Rotated rotated = {};
  rotated.header = MakeHeader<wire::Rotated>(wire::MessageType::kRotated, rotate.header.request_id);
  rotated.region_id = rotate.region_id;
  ThreadDevice device;
  Export* const exported = ReserveToRenew(rotate.region_id, connection_id, &device);
  rotated.status =
      exported != nullptr ? RenewReserved(exported, device, &rotated) : wire::Status::kNotFound;
  // While the export is reserved: the broker is to know the new key before somebody publishes with
  // it, which it would take for another allocation's.
  client_->Tell(connection_id, &rotated, sizeof(rotated));
  if (RawLogEnabled()) {
    RawLog(Text("renewed a key with status ")
               .Append(int64_t{static_cast<int32_t>(rotated.status)})
               .Append(", vendor code ")
               .Append(int64_t{rotated.vendor_code}));
  }
  if (exported == nullptr) return;
  if (rotated.status != wire::Status::kOk) LoseNamesOf(exported);
  if (!client_->process().exports.Unreserve(exported)) CloseAbandoned(exported);
}

// Null where the region's key is not to be renewed, or another thread is about to close it.
Export* Exporter::ReserveToRenew(uint64_t region_id, uint64_t connection_id, ThreadDevice* device) {
  ExportTable& exports = client_->process().exports;
  // Whoever withdraws the region waits for the reservation before it frees the export. One that is
  // lost or about to be withdrawn is renewed too: its importers are still to be cut off.
  MutexLock lock(client_->mutex());
  const Region* const region = Find(region_id);
  if (region == nullptr || region->connection_id != connection_id ||
      !exports.Reserve(region->exported)) {
    return nullptr;
  }
  *device = region->device;
  return region->exported;
}

wire::Status Exporter::RenewReserved(Export* exported, const ThreadDevice& device,
                                     wire::Rotated* rotated) {
  Text error;
  const hal::acl::IpcTable* const vendor = FindVendor(&error);
  if (vendor == nullptr) return wire::Status::kInternal;
  hal::acl::Error* const code = &rotated->vendor_code;
  *code = vendor->set_current_context(device.context);
  if (*code != hal::acl::kSuccess) {
    RawLog(DescribeVendorError("aclrtSetCurrentContext", *code));
    return wire::Status::kExporterFailed;
  }
  ExportTable& exports = client_->process().exports;
  switch (exports.Renew(*vendor, exported, code)) {
    case ExportTable::Renewal::kNotClosed:
      RawLog(DescribeVendorError("aclrtIpcMemClose", *code));
      return wire::Status::kExporterFailed;
    case ExportTable::Renewal::kNotMade:
      RawLog(DescribeVendorError("aclrtIpcMemGetExportKey", *code));
      return wire::Status::kExporterGone;
    case ExportTable::Renewal::kDone:
      break;
  }
  char key[hal::acl::kExportKeyBytes] = {};
  exports.CopyKey(exported, key);
  memcpy(rotated->handle, key, sizeof(key));
  return wire::Status::kOk;
}

// Nobody new can be let in to them, by whichever name.
void Exporter::LoseNamesOf(const Export* exported) {
  {
    MutexLock lock(client_->mutex());
    for (Region* region = regions_.front(); region != nullptr; region = regions_.Next(region)) {
      if (region->exported == exported) LoseOne(region);
    }
  }
  client_->AnnounceEvent();
}

void Exporter::Republished(const wire::Republished& republished, uint64_t connection_id) {
  {
    MutexLock lock(client_->mutex());
    Region* const region = Find(republished.region_id);
    if (region == nullptr || region->connection_id != connection_id || region->lost) return;
    if (republished.generation != 0) {
      region->generation = republished.generation;
      return;
    }
    LoseOne(region);
  }
  client_->AnnounceEvent();
}

void Exporter::ReleaseQuietly(const hal::acl::IpcTable& vendor, Export* exported) {
  bool closed = false;
  hal::acl::Error code = hal::acl::kSuccess;
  client_->process().exports.Release(vendor, exported, Deadline::After(client_->timeout_ms()),
                                     &closed, &code);
}

}  // namespace npu_ipc::runtime
