// The exported functions of lists and subscriptions; what they do is in subscription.cc.
#include "runtime/include/npu_ipc.h"
#include "runtime/src/api_arguments.h"
#include "runtime/src/client.h"
#include "runtime/src/subscription.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {
namespace {

constexpr uint32_t kDefaultMaxWaiting = 4096;

constexpr char kBadPrefix[] =
    "a group is empty, or a group, prefix or name is longer than 127 bytes";

const char* OrEmpty(const char* text) { return text == nullptr ? "" : text; }

bool Fits(const char* text) {
  return text == nullptr || ::strnlen(text, wire::kNameBytes) < wire::kNameBytes;
}

npu_ipc_region_description Describe(const wire::RegionDescription& region) {
  npu_ipc_region_description description = {};
  CopyText(description.group, sizeof(description.group), region.group);
  CopyText(description.name, sizeof(description.name), region.name);
  description.generation = region.generation;
  description.allocation_bytes = region.allocation_bytes;
  description.bytes = region.view_bytes;
  description.exporter_device = region.exporter_physical_device;
  description.exporter_host_pid = region.exporter_host_pid;
  description.importers = region.importers;
  CopyText(description.exporter_namespace, sizeof(description.exporter_namespace),
           region.exporter_namespace);
  CopyText(description.exporter_pod, sizeof(description.exporter_pod), region.exporter_pod);
  CopyText(description.exporter_pod_uid, sizeof(description.exporter_pod_uid),
           region.exporter_pod_uid);
  return description;
}

npu_ipc_status ListRegion(Client* client, const npu_ipc_list_options* given,
                          npu_ipc_region_description* region) {
  npu_ipc_list_options options = {};
  if (!ReadOptions(given, &options) || !ValidResult(region)) return Invalid(client, kBadStruct);
  if (!ValidGroup(options.group) || !Fits(options.prefix) || !Fits(options.after)) {
    return Invalid(client, kBadPrefix);
  }
  wire::RegionDescription found = {};
  const npu_ipc_status status = client->subscriber().ListRegion(
      OrEmpty(options.group), OrEmpty(options.prefix), OrEmpty(options.after), &found);
  return status == NPU_IPC_OK ? WriteResult(Describe(found), region) : status;
}

npu_ipc_status Subscribe(Client* client, const npu_ipc_subscribe_options* given,
                         npu_ipc_subscription** result) {
  npu_ipc_subscribe_options options = {};
  if (result == nullptr) return Invalid(client, "subscription is null");
  if (!ReadOptions(given, &options)) return Invalid(client, kBadStruct);
  if (!ValidGroup(options.group) || !Fits(options.prefix)) return Invalid(client, kBadPrefix);
  const SubscribeRequest request = {
      OrEmpty(options.group), OrEmpty(options.prefix), options.admit_ahead != 0,
      options.max_waiting == 0 ? kDefaultMaxWaiting : options.max_waiting};
  Subscription* subscription = nullptr;
  const npu_ipc_status status = client->subscriber().Subscribe(request, &subscription);
  if (status == NPU_IPC_OK) *result = reinterpret_cast<npu_ipc_subscription*>(subscription);
  return status;
}

}  // namespace
}  // namespace npu_ipc::runtime

using npu_ipc::runtime::Deadline;
using npu_ipc::runtime::ErrnoKeeper;
using npu_ipc::runtime::FromHandle;
using npu_ipc::runtime::ProcessId;
using npu_ipc::runtime::Subscription;

extern "C" {

npu_ipc_status npu_ipc_list(npu_ipc_client* client, const npu_ipc_list_options* options,
                            npu_ipc_region_description* region) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  if (!FromHandle(client)->InItsProcess()) return NPU_IPC_WRONG_PROCESS;
  return npu_ipc::runtime::ListRegion(FromHandle(client), options, region);
}

npu_ipc_status npu_ipc_subscribe(npu_ipc_client* client, const npu_ipc_subscribe_options* options,
                                 npu_ipc_subscription** subscription) noexcept {
  const ErrnoKeeper keep_errno;
  if (client == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  if (!FromHandle(client)->InItsProcess()) return NPU_IPC_WRONG_PROCESS;
  return npu_ipc::runtime::Subscribe(FromHandle(client), options, subscription);
}

npu_ipc_status npu_ipc_subscription_next(npu_ipc_subscription* subscription, uint32_t timeout_ms,
                                         npu_ipc_change* change,
                                         npu_ipc_region_description* region) noexcept {
  const ErrnoKeeper keep_errno;
  if (subscription == nullptr || change == nullptr || !npu_ipc::runtime::ValidResult(region)) {
    return NPU_IPC_INVALID_ARGUMENT;
  }
  Subscription* const known = FromHandle(subscription);
  if (ProcessId() != known->pid) return NPU_IPC_WRONG_PROCESS;
  npu_ipc::wire::RegionDescription told = {};
  const npu_ipc_status status =
      known->client->subscriber().Next(known, Deadline::After(timeout_ms), change, &told);
  return status == NPU_IPC_OK
             ? npu_ipc::runtime::WriteResult(npu_ipc::runtime::Describe(told), region)
             : status;
}

npu_ipc_status npu_ipc_unsubscribe(npu_ipc_subscription* subscription) noexcept {
  const ErrnoKeeper keep_errno;
  if (subscription == nullptr) return NPU_IPC_INVALID_ARGUMENT;
  Subscription* const known = FromHandle(subscription);
  if (ProcessId() != known->pid) return NPU_IPC_WRONG_PROCESS;
  known->client->subscriber().Unsubscribe(known);
  return NPU_IPC_OK;
}

}  // extern "C"
