// Who holds which device: what this plugin allocated, held against what the kubelet says.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "hal/base/clock.h"
#include "hal/base/result.h"

namespace npu_ipc::kubelet {

// A container as podresources names it. There is no pod UID in it: a pod that was made again under
// its old name (a StatefulSet's) is the same one here.
struct ContainerName {
  std::string pod_namespace;
  std::string pod;
  std::string container;
  auto operator<=>(const ContainerName&) const = default;
};

// One container's devices of one resource, as podresources lists them: each id once, ascending.
struct ContainerDevices {
  ContainerName container;
  std::string resource;
  std::vector<std::string> device_ids;
  bool operator==(const ContainerDevices&) const = default;
};

struct Allocation {
  std::string resource;                 // "huawei.com/Ascend910B"
  std::vector<std::string> device_ids;  // ascending
  // Empty from Allocate, which does not say for whom, until the kubelet has named the container.
  std::optional<ContainerName> container;
  bool operator==(const Allocation&) const = default;
};

// Never changes once made; shared between threads.
struct AllocationSnapshot {
  std::vector<Allocation> allocations;  // by resource, container (unnamed ones last) and ids
  // Why the kubelet does not say who holds what; ok before it was first asked. What is here is then
  // what it last said, and what was allocated since.
  Status source;
  bool operator==(const AllocationSnapshot& other) const {
    return allocations == other.allocations && source.code() == other.source.code() &&
           source.message() == other.source.message();
  }
};

// What it takes to believe that something is gone. A kubelet that has just started answers without
// its pods for a second or two, so one answer is not enough, nor are several in quick succession.
struct AllocationRules {
  int answers = 3;                               // in a row
  Duration duration = std::chrono::seconds(10);  // from the first of them to the last
};

// Pure logic: no threads, no sockets. Safe for concurrent use; no call waits for anything. What is
// allocated is only noted, as the kubelet waits for it: it is whoever asks for a snapshot that
// makes one.
//
//  * The kubelet's word is final on what a named container holds.
//  * What was allocated is unnamed until a container is listed with all of its devices that was not
//    listed with them before. Where none comes (the admission failed, or the pod has the name of
//    the one before it), it is dropped by the rules above.
//  * A named container that is listed no more is dropped by the rules above, or at once when
//    another pod holds one of its devices: the kubelet gives no device away that is in use.
//  * An answer that failed says nothing, and starts the count of the rules anew: the kubelet may be
//    restarting.
class AllocationTracker {
 public:
  explicit AllocationTracker(const AllocationRules& rules = {}, const Clock& clock = SystemClock());
  AllocationTracker(const AllocationTracker&) = delete;
  AllocationTracker& operator=(const AllocationTracker&) = delete;

  // Allocate was answered with these devices.
  void RecordAllocate(const std::string& resource, std::vector<std::string> device_ids);

  // The resources to watch for in the kubelet's answers; those of other plugins are not taken in.
  void AddResource(const std::string& resource);

  // Takes in what the kubelet said (or why it did not), having been asked at `asked`: what was
  // allocated after that is not judged by it.
  void Observe(const Result<std::vector<ContainerDevices>>& answer, TimePoint asked);

  // The same one as before while nothing has changed.
  std::shared_ptr<const AllocationSnapshot> snapshot() const;

  // Something is unnamed, or is missing from the kubelet's last answer: worth asking soon.
  bool Unsettled() const;

 private:
  using Key = std::pair<std::string, ContainerName>;  // resource and container
  // The answers in a row that lacked something.
  struct Absence {
    int answers = 0;
    TimePoint since;
  };
  struct Named {
    std::set<std::string> ids;
    Absence absence;
  };
  struct Unnamed {
    std::string resource;
    std::set<std::string> ids;
    TimePoint allocated_at;
    std::set<ContainerName> earlier_holders;  // of all of `ids`, when they were allocated
    Absence absence;
  };
  using Listing = std::map<Key, std::set<std::string>>;

  Listing ForOurResources(const std::vector<ContainerDevices>& answer) const;
  void ResolveUnnamed(const Listing& listing, TimePoint asked);
  void ResolveNamed(const Listing& listing, TimePoint asked);
  bool CountAbsence(Absence& absence, TimePoint asked) const;  // true: it is gone
  AllocationSnapshot MakeSnapshot() const;

  const AllocationRules rules_;
  const Clock& clock_;

  mutable std::mutex mutex_;  // guards what follows
  std::set<std::string> resources_;
  std::map<Key, Named> named_;
  std::vector<Unnamed> unnamed_;  // in the order of Allocate
  Status source_;
  mutable bool snapshot_is_current_ = true;
  mutable std::shared_ptr<const AllocationSnapshot> snapshot_ =
      std::make_shared<const AllocationSnapshot>();
};

}  // namespace npu_ipc::kubelet
