// The parts of doctor.cc: what is looked at, and the steps that are about shares or the node alone.
#pragma once

#include <stddef.h>

#include <string>
#include <utility>
#include <vector>

#include "plugin/admin/node_snapshot.h"
#include "plugin/pods/policy.h"

namespace npu_ipc::admin {

// Of one step. What comes after one that failed is looked at all the same: it may have been passed
// before.
struct Finding {
  const char* status;  // Ok, Failed, Unknown or Skipped
  std::string message;
  std::string remedy;
};
inline Finding Ok(std::string message) { return {"Ok", std::move(message), ""}; }
inline Finding Failed(std::string message, std::string remedy) {
  return {"Failed", std::move(message), std::move(remedy)};
}
inline Finding Skipped(std::string message) { return {"Skipped", std::move(message), ""}; }

// "1 pod", "2 pods"; with `plural` where that is not a matter of an s.
std::string Count(size_t count, const std::string& what);
std::string Count(size_t count, const std::string& what, const std::string& plural);

// nullptr where the node has no pod "namespace/name".
const pods::Pod* FindByName(const NodeSnapshot& node, const std::string& name);

// What the snapshot, which must outlive it, has of one pod.
struct PodView {
  PodView(const NodeSnapshot& snapshot, const std::string& pod_name);

  std::string PodOf(broker::ClientId client) const;
  // "; last refused 3 s ago: ...", the newest; empty where it was not.
  std::string LastRefusal() const;

  const NodeSnapshot& node;
  const std::string name;      // empty: the node alone is looked at
  const pods::Pod* const pod;  // null where it is not known
  const Result<pods::SharePolicy> policy;
  std::vector<const broker::ShareSnapshot::Process*> processes;
  std::vector<const broker::ShareSnapshot::Region*> regions;    // that it exports
  std::vector<const broker::ShareSnapshot::Mapping*> mappings;  // that it imports
};

// Steps of the node.
Finding DevicePluginStep(const NodeSnapshot& node);
Finding RegisteredStep(const NodeSnapshot& node);
Finding PodsKnownStep(const NodeSnapshot& node);

// Steps of what the pod exports and imports.
Finding WhitelistedStep(const PodView& view);
Finding ImportedStep(const PodView& view);

}  // namespace npu_ipc::admin
