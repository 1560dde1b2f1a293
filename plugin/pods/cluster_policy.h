// What the cluster's operator allows, whatever pods ask for.
#pragma once

#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"
#include "plugin/config/quantity.h"

namespace npu_ipc::config {
class Options;
}

namespace npu_ipc::pods {

struct ClusterPolicy {
  bool cross_namespace = false;                // pods of two namespaces may share if both ask
  std::vector<std::string> denied_namespaces;  // their pods share nothing
  // Whose pods may export without the driver's whitelist, as their programs ask: any process of the
  // node that learns the key can map the memory.
  std::vector<std::string> pid_validation_off_namespaces;
  // Caps on what is exported at one time; a cap of 0 allows nothing.
  uint64_t max_bytes_per_pod = config::kUnlimitedBytes;
  uint64_t max_bytes_per_node = config::kUnlimitedBytes;
  int64_t max_regions_per_pod = 65'536;
  int64_t max_regions_per_node = 1'000'000;

  bool Denies(std::string_view pod_namespace) const;
  bool MayDisablePidValidation(std::string_view pod_namespace) const;

  friend bool operator==(const ClusterPolicy&, const ClusterPolicy&) = default;
};

// Adds policy.crossNamespace and the others, and marks them as live. `policy` must outlive
// `options`.
void AddClusterPolicyOptions(config::Options& options, ClusterPolicy* policy);

// kInvalidArgument names the setting that holds what is no namespace's name.
Status Check(const ClusterPolicy& policy);

}  // namespace npu_ipc::pods
