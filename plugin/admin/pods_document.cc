#include <map>
#include <set>
#include <string>
#include <utility>

#include "plugin/admin/document.h"
#include "plugin/admin/documents.h"
#include "plugin/pods/policy.h"

namespace npu_ipc::admin {
namespace {

using Json = nlohmann::json;

Json DescribePolicy(const pods::SharePolicy& policy) {
  Json groups = Json::array();
  for (const pods::Membership& membership : policy.groups) {
    groups.push_back({{"name", membership.group.Text()},
                      {"role", std::string(pods::RoleName(membership.role))}});
  }
  Json described = {
      {"groups", std::move(groups)},
      {"revoke", policy.revoke == pods::RevokeMode::kRotate ? "rotate" : "notify"},
      {"inject", policy.inject == pods::InjectMode::kPreload ? "preload" : "library"}};
  Json& allowed = described["allowNamespaces"] = Json::array();
  for (const pods::AllowedNamespace& guest : policy.allowed_namespaces) {
    allowed.push_back({{"name", guest.name}, {"role", std::string(pods::RoleName(guest.role))}});
  }
  if (policy.max_bytes) described["maxBytes"] = *policy.max_bytes;
  return described;
}

Json DescribeHolding(const DeviceAllocations::Holding& holding) {
  Json devices = Json::array();
  for (const device_view::DeviceState* const device : holding.devices) {
    devices.push_back({{"id", device->id}, {"physicalId", device->hardware.physical_id}});
  }
  return {{"container", holding.allocation->container_name},
          {"resource", holding.allocation->resource},
          {"deviceIds", holding.allocation->device_ids},
          {"devices", std::move(devices)}};
}

Json DescribePod(const std::string& pod_namespace, const std::string& name,
                 const DeviceAllocations& devices) {
  Json described = {{"namespace", pod_namespace},
                    {"name", name},
                    {"allocations", Json::array()},
                    {"processes", Json::array()}};
  for (const DeviceAllocations::Holding& holding : devices.Of(pod_namespace, name)) {
    described["allocations"].push_back(DescribeHolding(holding));
  }
  return described;
}

// What its annotations ask for, or what is wrong with them; nothing where there are none.
void AddAnnotations(const pods::Pod& pod, Json* described) {
  (*described)["uid"] = pod.uid;
  const Result<pods::SharePolicy> policy = pods::ParsePolicy(pod);
  if (policy.ok()) {
    (*described)["policy"] = DescribePolicy(*policy);
  } else if (policy.status().code() != StatusCode::kNotFound) {
    (*described)["annotationError"] = policy.status().message();
  }
}

}  // namespace

// Those that share, could, or hold a device of ours: of the others there is nothing to say.
Json PodsDocument(const NodeSnapshot& node) {
  const DeviceAllocations devices(node);
  ProcessDescriber processes(node);
  std::map<std::string, Json> pods;  // by full name: in order
  for (const auto& pod : node.pods) {
    Json described = DescribePod(pod->pod_namespace, pod->name, devices);
    AddAnnotations(*pod, &described);
    pods.emplace(pods::FullName(*pod), std::move(described));
  }
  for (const auto& [client, process] : node.shares.processes) {
    const broker::ClientInfo& info = process.info;
    auto [pod, is_new] = pods.try_emplace(info.PodFullName());
    if (is_new) pod->second = DescribePod(info.pod_namespace, info.pod_name, devices);
    Json described = processes.Describe(client);
    for (const char* const of_pod : {"namespace", "pod", "uid"}) described.erase(of_pod);
    described["regions"] = process.regions;
    described["mappings"] = process.mappings;
    described["waitingAttaches"] = process.waiting;
    pod->second["processes"].push_back(std::move(described));
  }
  Json document = NewDocument("PodList", node);
  document["directory"] = {{"ready", node.pod_directory.ready},
                           {"problem", node.pod_directory.problem},
                           {"pods", node.pod_directory.pods}};
  Json& items = document["items"] = Json::array();
  for (auto& [name, pod] : pods) {
    const bool concerned = pod.contains("policy") || pod.contains("annotationError") ||
                           !pod["allocations"].empty() || !pod["processes"].empty();
    if (concerned) items.push_back(std::move(pod));
  }
  return document;
}

}  // namespace npu_ipc::admin
