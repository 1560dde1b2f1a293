#include "plugin/pods/cluster_policy.h"

#include <algorithm>

#include "plugin/config/options.h"
#include "plugin/pods/names.h"

namespace npu_ipc::pods {
namespace {

constexpr char kDeniedNamespaces[] = "policy.deniedNamespaces";
constexpr char kPidValidationOff[] = "policy.pidValidationOffNamespaces";
constexpr int64_t kMostRegions = 100'000'000;

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Status CheckNamespaces(const char* key, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!IsNamespaceName(name)) {
      return {StatusCode::kInvalidArgument,
              std::string(key) + ": " + Quoted(name) +
                  " is no namespace's name; accepted: " + std::string(kNamespaceNameForm)};
    }
  }
  return Status::Ok();
}

}  // namespace

bool ClusterPolicy::Denies(std::string_view pod_namespace) const {
  return Contains(denied_namespaces, pod_namespace);
}

bool ClusterPolicy::MayDisablePidValidation(std::string_view pod_namespace) const {
  return Contains(pid_validation_off_namespaces, pod_namespace);
}

void AddClusterPolicyOptions(config::Options& options, ClusterPolicy* policy) {
  options.Add("policy.crossNamespace",
              "whether pods of two namespaces may share, where the annotations of both ask for it",
              &policy->cross_namespace);
  options.Add(kDeniedNamespaces, "namespaces whose pods share nothing", &policy->denied_namespaces);
  options.Add(kPidValidationOff,
              "namespaces whose programs may export without the driver's whitelist: any process of "
              "the node that learns the key can then map the memory",
              &policy->pid_validation_off_namespaces);
  options.AddBytes("policy.maxBytesPerPod", "what one pod may have exported at one time",
                   &policy->max_bytes_per_pod);
  options.AddBytes("policy.maxBytesPerNode",
                   "what the pods of one node may have exported at one time",
                   &policy->max_bytes_per_node);
  options.Add("policy.maxRegionsPerPod", "regions that one pod may have exported at one time",
              &policy->max_regions_per_pod, 0, kMostRegions);
  options.Add("policy.maxRegionsPerNode",
              "regions that the pods of one node may have exported at one time",
              &policy->max_regions_per_node, 0, kMostRegions);
  options.MarkLive({"policy.crossNamespace", kDeniedNamespaces, kPidValidationOff,
                    "policy.maxBytesPerPod", "policy.maxBytesPerNode", "policy.maxRegionsPerPod",
                    "policy.maxRegionsPerNode"});
}

Status Check(const ClusterPolicy& policy) {
  Status denied = CheckNamespaces(kDeniedNamespaces, policy.denied_namespaces);
  return denied.ok() ? CheckNamespaces(kPidValidationOff, policy.pid_validation_off_namespaces)
                     : denied;
}

}  // namespace npu_ipc::pods
