// The exported functions: argument checks, and what every entry owes its host (errno kept, a fork
// noticed). What they do is in client.cc, exporter.cc and importer.cc.
#include <string.h>

#include "runtime/include/npu_ipc.h"
#include "runtime/protocol/wire.h"
#include "runtime/src/api_arguments.h"
#include "runtime/src/client.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {
namespace {

constexpr uint32_t kDefaultTimeoutMilliseconds = 5000;
constexpr uint32_t kDefaultWaitMilliseconds = 10000;
constexpr uintptr_t kPageBytes = 4096;  // the smallest page table entry of a device

const char* PublishMistake(const PublishRequest& request) {
  if (request.base == nullptr || request.bytes == 0) return "no memory: a null pointer or 0 bytes";
  if (reinterpret_cast<uintptr_t>(request.base) % kPageBytes != 0) {
    return "the pointer is not aligned to a page: publish the whole allocation, as aclrtMalloc "
           "gave it, and use view_offset for a part of it";
  }
  if (request.view_offset >= request.bytes ||
      request.view_bytes > request.bytes - request.view_offset) {
    return "the view reaches beyond the allocation";
  }
  return nullptr;
}

npu_ipc_status Publish(Client* client, const char* name, void* base, size_t bytes,
                       const npu_ipc_publish_options* given, npu_ipc_region** region) {
  npu_ipc_publish_options options = {};
  if (region == nullptr) return Invalid(client, "region is null");
  if (!ReadOptions(given, &options)) return Invalid(client, kBadStruct);
  if (!ValidName(name) || !ValidGroup(options.group)) return Invalid(client, kBadName);
  PublishRequest request = {name,
                            options.group == nullptr ? "" : options.group,
                            base,
                            bytes,
                            options.view_offset,
                            options.view_bytes};
  const char* const mistake = PublishMistake(request);
  if (mistake != nullptr) return Invalid(client, mistake);
  if (request.view_bytes == 0) request.view_bytes = bytes - options.view_offset;
  Region* published = nullptr;
  const npu_ipc_status status = client->exporter().Publish(request, &published);
  if (status == NPU_IPC_OK) *region = reinterpret_cast<npu_ipc_region*>(published);
  return status;
}

npu_ipc_status Attach(Client* client, const char* name, const npu_ipc_attach_options* given,
                      npu_ipc_mapping** mapping) {
  npu_ipc_attach_options options = {};
  if (mapping == nullptr) return Invalid(client, "mapping is null");
  if (!ReadOptions(given, &options)) return Invalid(client, kBadStruct);
  if (!ValidName(name) || !ValidGroup(options.group)) return Invalid(client, kBadName);
  const uint32_t wait_ms = options.wait_ms == 0 ? kDefaultWaitMilliseconds : options.wait_ms;
  Mapping* attached = nullptr;
  AttachRequest request = {name, options.group == nullptr ? "" : options.group, false,
                           hal::acl::kFlagDefault, hal::acl::kSuccess};
  const npu_ipc_status status =
      client->importer().Attach(&request, Deadline::After(wait_ms), &attached);
  if (status == NPU_IPC_OK) *mapping = reinterpret_cast<npu_ipc_mapping*>(attached);
  return status;
}

const char* SocketPath(const npu_ipc_open_options& options) {
  return options.socket_path != nullptr ? options.socket_path : SocketPathOfProcess();
}

}  // namespace
}  // namespace npu_ipc::runtime

using npu_ipc::runtime::Client;
using npu_ipc::runtime::Deadline;
using npu_ipc::runtime::ErrnoKeeper;
using npu_ipc::runtime::FromHandle;
using npu_ipc::runtime::Mapping;
using npu_ipc::runtime::ProcessId;
using npu_ipc::runtime::Region;

extern "C" {

const char* npu_ipc_version(void) noexcept { return NPU_IPC_VERSION_TEXT; }

npu_ipc_status npu_ipc_open(const npu_ipc_open_options* options, npu_ipc_client** client) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  *client = nullptr;
  npu_ipc_open_options known = {};
  if (!npu_ipc::runtime::ReadOptions(options, &known)) return NPU_IPC_INVALID_ARGUMENT;
  const uint32_t timeout_ms =
      known.timeout_ms == 0 ? npu_ipc::runtime::kDefaultTimeoutMilliseconds : known.timeout_ms;
  Client* opened = nullptr;
  const npu_ipc_status status = Client::Open(npu_ipc::runtime::SocketPath(known), timeout_ms,
                                             Client::Absence::kWait, &opened);
  *client = reinterpret_cast<npu_ipc_client*>(opened);
  return status;
}

void npu_ipc_close(npu_ipc_client* client) noexcept {
  const ErrnoKeeper keep_errno;
  if (client != nullptr) FromHandle(client)->Close();
}

npu_ipc_status npu_ipc_last_error(npu_ipc_client* client, char* text, size_t bytes) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr || text == nullptr || bytes == 0) return NPU_IPC_INVALID_ARGUMENT;
  if (!FromHandle(client)->InItsProcess()) return NPU_IPC_WRONG_PROCESS;
  FromHandle(client)->CopyLastError(text, bytes);
  return NPU_IPC_OK;
}

int32_t npu_ipc_last_vendor_code(npu_ipc_client* client) noexcept {
  const ErrnoKeeper keep_errno;
  const bool usable = client != nullptr && FromHandle(client)->InItsProcess();
  return usable ? FromHandle(client)->LastVendorCode() : 0;
}

npu_ipc_status npu_ipc_whoami(npu_ipc_client* client, npu_ipc_identity* identity) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr || !npu_ipc::runtime::ValidResult(identity)) {
    return NPU_IPC_INVALID_ARGUMENT;
  }
  if (!FromHandle(client)->InItsProcess()) return NPU_IPC_WRONG_PROCESS;
  npu_ipc_identity result = {};
  const npu_ipc_status status = FromHandle(client)->WhoAmI(&result);
  return status == NPU_IPC_OK ? npu_ipc::runtime::WriteResult(result, identity) : status;
}

npu_ipc_status npu_ipc_publish(npu_ipc_client* client, const char* name, void* dev_ptr,
                               size_t bytes, const npu_ipc_publish_options* options,
                               npu_ipc_region** region) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  if (!FromHandle(client)->InItsProcess()) return NPU_IPC_WRONG_PROCESS;
  return npu_ipc::runtime::Publish(FromHandle(client), name, dev_ptr, bytes, options, region);
}

npu_ipc_status npu_ipc_region_get_info(npu_ipc_region* region, npu_ipc_region_info* info) noexcept {
  const ErrnoKeeper keep_errno;
  if (region == nullptr || !npu_ipc::runtime::ValidResult(info)) return NPU_IPC_INVALID_ARGUMENT;
  Region* const known = FromHandle(region);
  if (ProcessId() != known->pid) return NPU_IPC_WRONG_PROCESS;
  npu_ipc_region_info result = {};
  known->client->exporter().GetInfo(known, &result);
  return npu_ipc::runtime::WriteResult(result, info);
}

npu_ipc_status npu_ipc_withdraw(npu_ipc_region* region, uint32_t drain_ms, int force) noexcept {
  const ErrnoKeeper keep_errno;
  if (region == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  Region* const known = FromHandle(region);
  if (ProcessId() != known->pid) return NPU_IPC_WRONG_PROCESS;
  return known->client->exporter().Withdraw(known, drain_ms, force != 0);
}

npu_ipc_status npu_ipc_attach(npu_ipc_client* client, const char* name,
                              const npu_ipc_attach_options* options,
                              npu_ipc_mapping** mapping) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  if (!FromHandle(client)->InItsProcess()) return NPU_IPC_WRONG_PROCESS;
  return npu_ipc::runtime::Attach(FromHandle(client), name, options, mapping);
}

npu_ipc_status npu_ipc_mapping_get_info(npu_ipc_mapping* mapping,
                                        npu_ipc_mapping_info* info) noexcept {
  const ErrnoKeeper keep_errno;
  if (mapping == nullptr || !npu_ipc::runtime::ValidResult(info)) return NPU_IPC_INVALID_ARGUMENT;
  Mapping* const known = FromHandle(mapping);
  if (ProcessId() != known->pid) return NPU_IPC_WRONG_PROCESS;
  npu_ipc_mapping_info result = {};
  known->client->importer().GetInfo(known, &result);
  return npu_ipc::runtime::WriteResult(result, info);
}

npu_ipc_status npu_ipc_detach(npu_ipc_mapping* mapping) noexcept {
  const ErrnoKeeper keep_errno;
  if (mapping == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  Mapping* const known = FromHandle(mapping);
  if (ProcessId() != known->pid) return NPU_IPC_WRONG_PROCESS;
  return known->client->importer().Detach(known);
}

npu_ipc_status npu_ipc_next_event(npu_ipc_client* client, uint32_t timeout_ms,
                                  npu_ipc_event* event) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr || !npu_ipc::runtime::ValidResult(event)) return NPU_IPC_INVALID_ARGUMENT;
  if (!FromHandle(client)->InItsProcess()) return NPU_IPC_WRONG_PROCESS;
  npu_ipc_event result = {};
  const npu_ipc_status status = FromHandle(client)->NextEvent(Deadline::After(timeout_ms), &result);
  return status == NPU_IPC_OK ? npu_ipc::runtime::WriteResult(result, event) : status;
}

int npu_ipc_event_fd(npu_ipc_client* client) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr || !FromHandle(client)->InItsProcess()) return -1;
  return FromHandle(client)->EventDescriptor();
}

}  // extern "C"
