// What the share registry asks of the rest of the broker.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/broker/messages.h"
#include "plugin/broker/share_types.h"
#include "plugin/device_view/node_state.h"
#include "plugin/driver_records/driver_records.h"
#include "plugin/pods/policy.h"
#include "plugin/pods/share_decision.h"

namespace npu_ipc::broker {

// What the registry needs of the world. Called on the registry's thread; must not call back into
// the registry.
class ShareContext {
 public:
  virtual ~ShareContext() = default;

  // Sends a message of wire.h to a connected client.
  virtual void Send(ClientId client, const void* message, size_t bytes) = 0;

  // Whether what is sent now goes out at once. Where not, ShareRegistry::OnRoom() follows when it
  // would.
  virtual bool HasRoom(ClientId client) = 0;
  // Ends the client's connection: it lets too much wait. ShareRegistry::Disconnect() follows,
  // later.
  virtual void DropSlow(ClientId client) = 0;

  // Looks at the client's pidfd now.
  virtual bool ProcessAlive(ClientId client) = 0;

  // The process that has `pid` now, where it runs in the pod with that uid.
  // As the kernel says it.
  virtual std::optional<ProcessKey> FindProcess(pid_t pid, const std::string& pod_uid) = 0;

  // Why the client's pod, as the directory has it now, may not; nothing where it may.
  virtual std::optional<Refusal> CheckRight(ClientId client, const GroupKey& group,
                                            ShareRight right) = 0;

  // Whether a process runs that nothing here may know any more.
  virtual bool ProcessRuns(const ProcessKey& process) = 0;

  // Why processes of the pod `importer` may not map what those of the pod `exporter` share in the
  // group: what CheckRight() says of either, and the leave that namespaces give each other. Pods by
  // ClientInfo::pod_cgroup_uid here and below.
  virtual std::optional<Refusal> CheckShare(const std::string& exporter,
                                            const std::string& importer, const GroupKey& group) = 0;

  // Why the pod may not export one more region, of `bytes` more.
  virtual std::optional<Refusal> CheckExport(const std::string& pod, uint64_t bytes,
                                             const pods::ExportUsage& of_pod,
                                             const pods::ExportUsage& of_node) = 0;

  // How the pod wants rights taken back; nothing where it does not say any more.
  virtual std::optional<pods::RevokeMode> RevokeModeOf(const std::string& pod) = 0;

  // In words, where the driver's own records say otherwise than an exporter; else nothing.
  virtual std::optional<std::string> Contradiction(const driver_records::ExportClaim& claim) = 0;
  virtual std::optional<std::string> Contradiction(const driver_records::MappingClaim& claim) = 0;

  // Those on a key's whitelist that run and could import, where the driver's own records tell. Some
  // milliseconds for a thousand.
  virtual std::vector<FoundProcess> WhitelistOf(std::string_view key) = 0;

  // How far two devices, by physical id, can use each other's memory.
  virtual device_view::Reach ReachBetween(uint32_t device_a, uint32_t device_b) = 0;

  // The client was told so.
  virtual void OnRefused(ClientId client, const Refusal& refusal) = 0;

  // A right that the client used was taken back.
  virtual void OnRevoked(ClientId client, const Refusal& reason) = 0;

  // A disconnected client's last claim has ended: nothing here knows it any more.
  virtual void Forget(ClientId client) = 0;
};

}  // namespace npu_ipc::broker
