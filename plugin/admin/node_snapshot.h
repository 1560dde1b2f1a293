// What the broker knows at one moment, as far as somebody asks: what documents are made of.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hal/base/clock.h"
#include "plugin/broker/share_snapshot.h"
#include "plugin/device_view/device_view_client.h"
#include "plugin/pods/cluster_policy.h"
#include "plugin/pods/directory.h"

namespace npu_ipc::admin {

using WallTime = std::chrono::system_clock::time_point;

// One that came again and again is one, with a count.
struct Event {
  enum class Type { kRefused, kRevoked };

  Type type = Type::kRefused;
  std::string pod_namespace;
  std::string pod_name;
  std::string reason;  // a name of wire::Status: "not_in_group"
  std::string message;
  WallTime first_seen;
  WallTime last_seen;
  uint64_t count = 1;
  // Where the pod is not known, the names of it are empty, and this is the last process.
  pid_t pid = 0;        // in the host's PID namespace; 0: not known either
  std::string pod_uid;  // as its cgroup has it; empty: it is in no pod
};

// A resource of the broker's own that the kubelet offers to containers.
struct OfferedResource {
  std::string name;
  uint64_t registrations = 0;  // with the kubelet; 0: it does not know it
};

// Immutable once it is made; goes to the thread that answers.
struct NodeSnapshot {
  std::string node;
  std::string version;
  WallTime time;
  Duration uptime{};

  broker::ShareSnapshot shares;  // as much of it as the request needs
  std::vector<std::shared_ptr<const pods::Pod>> pods;
  pods::DirectoryState pod_directory;
  pods::ClusterPolicy policy;
  std::optional<device_view::View> devices;  // empty: the broker runs without a device view
  std::optional<Duration> devices_age;
  std::vector<OfferedResource> resources;
  std::vector<Event> events;  // oldest first
};

}  // namespace npu_ipc::admin
