// What several documents are made of.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "plugin/admin/node_snapshot.h"

namespace npu_ipc::admin {

// A document of that kind with nothing in it: version, kind, node, time.
nlohmann::json NewDocument(std::string_view kind, const NodeSnapshot& node);

// "2026-01-31T10:00:00Z".
std::string FormatTime(WallTime time);

// Whole seconds; never negative.
int64_t Seconds(Duration duration);

// The pod with that cgroup uid; nullptr where the directory does not have it.
const pods::Pod* FindPod(const NodeSnapshot& node, const std::string& cgroup_uid);

// The pid of a process in its container, as the kernel says; nullopt where it has ended or cannot
// be looked at.
std::optional<pid_t> ContainerPid(const broker::ProcessKey& process);

// Describes processes, each of which is looked up in /proc once. One thread; `node` must outlive
// it.
class ProcessDescriber {
 public:
  explicit ProcessDescriber(const NodeSnapshot& node) : node_(node) {}

  // Pod, container and PIDs. REQUIRES: the snapshot has the client.
  nlohmann::json Describe(broker::ClientId client);

 private:
  const NodeSnapshot& node_;
  std::map<pid_t, std::optional<pid_t>> container_pids_;
};

// Which devices containers were given, as the device plugin knows. `node` must outlive it.
class DeviceAllocations {
 public:
  struct Holding {
    const device_view::Allocation* allocation = nullptr;
    std::vector<const device_view::DeviceState*> devices;
  };

  explicit DeviceAllocations(const NodeSnapshot& node);

  // Of one pod.
  const std::vector<Holding>& Of(const std::string& pod_namespace,
                                 const std::string& pod_name) const;
  // Allocations that a device is part of.
  std::vector<const device_view::Allocation*> HoldersOf(const std::string& device_id) const;

  // {"physicalId": 3, "evidence": "Confirmed"}: the process' container was given the device;
  // "Contradicted": it was given others; "Claimed": nothing is known of what it was given.
  nlohmann::json Claim(uint32_t physical_id, const broker::ClientInfo& process) const;

 private:
  std::map<std::string, std::vector<Holding>> by_pod_;  // by "namespace/name"
  std::multimap<std::string, const device_view::Allocation*> by_device_;
};

}  // namespace npu_ipc::admin
