// Which pods this node has: where the broker looks up who a process belongs to.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "plugin/pods/pod.h"

namespace npu_ipc::pods {

struct DirectoryState {
  bool ready = false;   // the pods have been read at least once, and the source is well now
  std::string problem;  // why it is not ready, or what is wrong with the source since
  size_t pods = 0;
  // The source has been read at least once since this process started. Before that the pods, if
  // any, are what an earlier process knew, and may have changed: good to give back what that
  // process had granted, and for nothing else.
  bool synced = false;
};

// Implementations belong to one thread (the broker's loop): it makes every call, and gets every
// notification.
class PodDirectory {
 public:
  // The cgroup uids (CgroupUid) of the pods that appeared, changed or went. Empty when only the
  // state did.
  using Listener = std::function<void(const std::vector<std::string>& changed_uids)>;

  virtual ~PodDirectory() = default;

  // The pod whose cgroups carry `uid`, or nullptr. The object never changes: a pod that changes is
  // another object, so that a pointer tells whether what was derived from it still holds.
  virtual std::shared_ptr<const Pod> Find(const std::string& uid) const = 0;

  virtual DirectoryState state() const = 0;

  // Replaces the listener. The new one is told of every pod that is there before this returns.
  virtual void OnChange(Listener listener) = 0;

  // Looks at the source again now (SIGHUP).
  virtual void Refresh() = 0;
};

// What became of one pod.
struct PodChange {
  std::string uid;         // its own, not that of its cgroups
  std::optional<Pod> pod;  // nullopt: it is gone
};

// The pods themselves, for implementations to keep. One that has terminated is not kept: nothing of
// it runs, so that whoever still shows its uid gets nothing in its name.
class PodTable {
 public:
  // Both return the cgroup uids of what differs. Two pods that claim one cgroup uid (somebody wrote
  // a mirror pod's annotations) are both left out, and logged.

  // Of several changes of one pod the last counts. The cost is that of the changes.
  std::vector<std::string> Apply(std::vector<PodChange> changes);
  // Makes `pods` the whole content.
  std::vector<std::string> Replace(std::vector<Pod> pods);

  std::shared_ptr<const Pod> Find(const std::string& cgroup_uid) const;
  // Of all pods that Find() finds.
  std::vector<std::string> CgroupUids() const;
  size_t size() const { return pods_.size(); }

  // In no order.
  std::vector<std::shared_ptr<const Pod>> All() const;

 private:
  using PodPointer = std::shared_ptr<const Pod>;

  void Set(const std::string& uid, PodPointer pod);

  std::unordered_map<std::string, PodPointer> pods_;                 // by uid
  std::unordered_map<std::string, std::vector<PodPointer>> claims_;  // by cgroup uid; never empty
};

}  // namespace npu_ipc::pods
