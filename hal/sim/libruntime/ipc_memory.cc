#include "hal/sim/libruntime/ipc_memory.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "acl/rt/ipc_memory.h"
#include "hal/sim/libruntime/driver.h"
#include "hal/sim/libruntime/peer_access.h"

namespace npu_ipc::sim {
namespace {

constexpr size_t kKeyCharacters = kKeyBytes - 1;

RtStatus Invalid(std::string message) {
  return RtStatus(ACL_ERROR_RT_PARAM_INVALID, std::move(message));
}

// HAL: 1 to 64 characters, then a NUL.
RtResult<std::string> ParseKey(const char* key) {
  const size_t length = key == nullptr ? 0 : ::strnlen(key, kKeyBytes);
  if (length == 0 || length > kKeyCharacters) {
    return Invalid("an export key has 1 to 64 characters");
  }
  return std::string(key, length);
}

Request KeyRequest(Operation operation, const std::string& key) {
  Request request = {};
  request.operation = operation;
  ::memcpy(request.key, key.data(), std::min(key.size(), sizeof(request.key) - 1));
  return request;
}

}  // namespace

RtStatus IpcMemory::Export(const void* pointer, size_t bytes, char* key, size_t capacity,
                           uint64_t flags) {
  if (pointer == nullptr || key == nullptr || bytes == 0) {
    return Invalid("an export needs an address, a size and room for the key");
  }
  if (capacity < kKeyBytes) {
    return Invalid("an export key needs room for 65 bytes, not " + std::to_string(capacity));
  }
  if ((flags & ~ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION) != 0) {
    return Invalid("unknown export flags " + std::to_string(flags));
  }
  const std::shared_ptr<const Region> region = addresses_.Find(pointer);
  if (region == nullptr || region->kind != Region::Kind::kAllocation) {
    return DriverRefusal(EINVAL, region == nullptr
                                     ? "exporting an address that is no device memory"
                                     : "exporting memory that this process did not allocate");
  }
  Request request = {};
  request.operation = Operation::kShareCreate;
  request.handle = region->handle;
  request.offset = reinterpret_cast<uintptr_t>(pointer) - region->base();
  request.length = bytes;
  request.address = reinterpret_cast<uintptr_t>(pointer);
  RtResult<DriverReply> made =
      CallDriver(request, "exporting " + std::to_string(bytes) + " bytes at offset " +
                              std::to_string(request.offset) + " of an allocation of " +
                              std::to_string(region->page_bytes) + "-byte pages");
  if (!made.ok()) return made.status();
  const std::string name(made->reply.key, ::strnlen(made->reply.key, kKeyCharacters));
  if (flags != 0) {
    RtResult<DriverReply> opened =
        CallDriver(KeyRequest(Operation::kShareNoWhitelist, name), "switching a whitelist off");
    if (!opened.ok()) {
      (void)CallDriver(KeyRequest(Operation::kShareDestroy, name), "undoing an export");
      return opened.status();
    }
  }
  ::memset(key, 0, kKeyBytes);
  ::memcpy(key, name.data(), name.size());
  return {};
}

RtStatus IpcMemory::SetImportPids(const char* key, const int32_t* pids, int count) {
  RtResult<std::string> name = ParseKey(key);
  if (!name.ok()) return name.status();
  if (pids == nullptr || count < 1 || count > static_cast<int>(kMaxPidsPerCall)) {
    return Invalid("1 to 31 processes are listed at once, not " + std::to_string(count));
  }
  Request request = KeyRequest(Operation::kShareSetPids, *name);
  request.count = static_cast<uint32_t>(count);
  std::copy_n(pids, count, request.pids);
  return CallDriver(request, "listing " + std::to_string(count) + " importing processes").status();
}

RtResult<void*> IpcMemory::Import(const char* key, uint64_t flags, uint32_t device) {
  RtResult<std::string> name = ParseKey(key);
  if (!name.ok()) return name.status();
  if ((flags & ~ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS) != 0) {
    return Invalid("unknown import flags " + std::to_string(flags));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  const auto known = imports_.find(*name);
  if (known != imports_.end()) {
    if (known->second.device != device) {
      return DriverRefusal(EINVAL, "importing a key on a second device of one process");
    }
    ++known->second.uses;
    return const_cast<void*>(known->second.base);
  }
  RtResult<void*> opened = Open(*name, flags, device);
  if (opened.ok()) imports_.emplace(std::move(*name), Opened{*opened, device, 1});
  return opened;
}

RtResult<void*> IpcMemory::Open(const std::string& key, uint64_t flags, uint32_t device) {
  RtResult<std::shared_ptr<const NodeView>> view = devices_.View();
  if (!view.ok()) return view.status();
  RtResult<DriverReply> info =
      CallDriver(KeyRequest(Operation::kShareInfo, key), "asking about an export key");
  if (!info.ok()) return info.status();
  const ShareReply share = info->reply.share;
  if (flags != 0 && share.device != device) {
    // The vendor's runtime turns the exporter's physical id into a local index here, which a
    // container that does not see that device cannot (runtime: raw_device.cc).
    RtResult<uint32_t> peer = devices_.LogicOfPhysical(static_cast<int32_t>(share.device));
    if (!peer.ok()) return peer.status();
    if (RtStatus to = EnablePeerAccess(share.device, device); !to.ok()) return to;
    if (RtStatus from = EnablePeerAccess(device, share.device); !from.ok()) return from;
  }
  RtResult<Mapping> reserved = Mapping::Reserve(share.length, share.page_bytes);
  if (!reserved.ok()) return reserved.status();
  Request request = KeyRequest(Operation::kShareOpen, key);
  request.device = device;
  request.address = reinterpret_cast<uintptr_t>(reserved->begin());
  RtResult<DriverReply> answer =
      CallDriver(request, "importing memory of device " + std::to_string(share.device) +
                              " on device " + std::to_string(device));
  if (!answer.ok()) return answer.status();

  const ShareReply& opened = answer->reply.share;
  RtResult<Mapping> memory =
      answer->descriptors.size() == 1
          ? Mapping::Share(answer->descriptors[0].get(), opened.offset, opened.length)
          : RtResult<Mapping>(
                RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR, "the driver sent no memory"));
  if (!memory.ok() || opened.length != share.length) {
    (void)CallDriver(KeyRequest(Operation::kShareClose, key), "undoing an import");
    return memory.ok() ? DriverRefusal(EINVAL, "importing a key that has changed")
                       : memory.status();
  }
  auto region = std::make_shared<Region>();
  region->kind = Region::Kind::kImport;
  region->addresses = std::move(*reserved);
  region->memory = std::move(*memory);
  region->real = region->memory.begin();
  region->bytes = opened.length;
  region->page_bytes = opened.page_bytes;
  region->device = device;
  region->memory_device = opened.device;
  region->validity = (*view)->validity;
  region->validity_slot = opened.validity_slot;
  void* const base = region->addresses.begin();
  addresses_.Add(std::move(region));
  return base;
}

RtStatus IpcMemory::Close(const char* key) {
  RtResult<std::string> name = ParseKey(key);
  if (!name.ok()) return name.status();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto import = imports_.find(*name);
    if (import != imports_.end()) {
      CloseOne(import);
      return {};
    }
  }
  return Destroy(key);
}

RtStatus IpcMemory::CloseImport(const void* base) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto import = std::find_if(imports_.begin(), imports_.end(), [base](const auto& candidate) {
    return candidate.second.base == base;
  });
  if (import == imports_.end()) return Invalid("no import begins at this address");
  CloseOne(import);
  return {};
}

void IpcMemory::CloseOne(Imports::iterator import) {
  if (--import->second.uses != 0) return;
  addresses_.Remove(import->second.base);
  // The exporter, or the driver, may have ended it before: an importer's close succeeds all the
  // same.
  (void)CallDriver(KeyRequest(Operation::kShareClose, import->first), "closing an import");
  imports_.erase(import);
}

RtStatus IpcMemory::Destroy(const char* key) {
  RtResult<std::string> name = ParseKey(key);
  if (!name.ok()) return name.status();
  return CallDriver(KeyRequest(Operation::kShareDestroy, *name), "destroying an export key")
      .status();
}

void IpcMemory::ForgetDevice(uint32_t physical_device) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto import = imports_.begin(); import != imports_.end();) {
    import = import->second.device == physical_device ? imports_.erase(import) : std::next(import);
  }
}

}  // namespace npu_ipc::sim
