// The words of the share registry.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <functional>
#include <string>

namespace npu_ipc::broker {

using ClientId = uint64_t;  // a connection and what it claims; never 0, never used again
using RegionId = uint64_t;
using GrantId = uint64_t;
using AttachId = uint64_t;

// One process for good. What the kernel says of it is not enough: a pid is used again, and where
// that happens within one clock tick (a hundredth of a second), with the same start time.
struct ProcessKey {
  pid_t pid = 0;  // in the host's PID namespace
  uint64_t start_time_ticks = 0;
  // Of those that had both: given by the registry to each that connects, never twice. 0: as the
  // kernel says it, whoever that is.
  uint64_t incarnation = 0;

  ProcessKey AsTheKernelSays() const { return {pid, start_time_ticks, 0}; }

  friend bool operator==(const ProcessKey&, const ProcessKey&) = default;
};

struct ProcessKeyHash {
  size_t operator()(const ProcessKey& key) const {
    return std::hash<uint64_t>()(key.start_time_ticks * 4194304 + static_cast<uint64_t>(key.pid)) ^
           std::hash<uint64_t>()(key.incarnation << 32);
  }
};

// A process that was found without its having connected.
struct FoundProcess {
  ProcessKey process;          // as the kernel says it
  std::string pod_cgroup_uid;  // empty: in no pod
};

// Who a client is, as the kernel and the pod directory say.
struct ClientInfo {
  ProcessKey process;
  std::string pod_uid;
  std::string
      pod_cgroup_uid;  // what the pod directory knows the pod by; a static pod's is not its uid
  std::string pod_namespace;
  std::string pod_name;
  std::string container_id;
  std::string container_name;  // empty where the directory does not have it
  uint32_t speaks_minor = 0;   // of wire.h's major version
  pid_t own_pid = 0;           // as the process sees itself; 0: unknown

  std::string PodFullName() const { return pod_namespace + "/" + pod_name; }
  std::string Description() const {
    return "pod " + PodFullName() + " (host pid " + std::to_string(process.pid) + ")";
  }
};

// A group is of one namespace, whatever pods are in it.
struct GroupKey {
  std::string pod_namespace;  // the owner
  std::string name;

  std::string Text() const { return pod_namespace + "/" + name; }
  friend bool operator==(const GroupKey&, const GroupKey&) = default;
};

struct RegionName {
  GroupKey group;
  std::string name;

  std::string Text() const { return group.Text() + "/" + name; }
  friend bool operator==(const RegionName&, const RegionName&) = default;
};

struct RegionNameHash {
  size_t operator()(const RegionName& key) const {
    const std::hash<std::string> hash;
    size_t value = hash(key.name);
    value = value * 31 + hash(key.group.name);
    return value * 31 + hash(key.group.pod_namespace);
  }
};

// Why requests wait while ShareRegistry::HoldNew() is in force.
inline constexpr char kNothingNewYet[] =
    "the broker was restarted and has not heard from the API server since: what was shared goes "
    "on, nothing new is granted until it has";

// What a member of a group does with a region of it.
enum class ShareRight {
  kExport,
  kImport,
  kSee,  // which regions there are, and whose: for whoever may do either of the others
};

}  // namespace npu_ipc::broker
