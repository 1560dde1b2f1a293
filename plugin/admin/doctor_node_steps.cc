// The steps of doctor that are of the node, whatever pods it has.
#include <algorithm>

#include "plugin/admin/doctor_steps.h"

namespace npu_ipc::admin {

Finding DevicePluginStep(const NodeSnapshot& node) {
  if (!node.devices) {
    return Skipped("the broker runs without a device view: the devices are another plugin's");
  }
  if (node.devices->state == nullptr || !node.devices->connected) {
    return Failed("npu-device-plugin does not answer: " + node.devices->problem,
                  "look at the log of container npu-device-plugin of the pod of npu-ipc on this "
                  "node; what is shared goes on without it");
  }
  const device_view::NodeState& state = *node.devices->state;
  const auto healthy =
      static_cast<size_t>(std::count_if(state.devices.begin(), state.devices.end(),
                                        [](const auto& d) { return d.second.health.healthy; }));
  const std::string devices =
      std::to_string(healthy) + " of " + Count(state.devices.size(), "device") + " healthy";
  if (state.facts.problem.empty()) return Ok(devices);
  return Failed(devices + ": " + state.facts.problem,
                "look at `kubectl npu devices --node " + node.node + "`");
}

Finding RegisteredStep(const NodeSnapshot& node) {
  std::vector<std::string> unknown;
  std::string names;
  const auto look = [&](const std::string& name, uint64_t registrations) {
    if (registrations == 0) unknown.push_back(name);
    names += (names.empty() ? "" : ", ") + name;
  };
  for (const OfferedResource& own : node.resources) look(own.name, own.registrations);
  if (node.devices && node.devices->state != nullptr) {
    for (const auto& [name, statistics] : node.devices->state->resources) {
      look(name, statistics.registrations);
    }
  }
  if (names.empty()) return Skipped("no resource of npu-ipc's is offered on this node");
  if (unknown.empty()) return Ok("the kubelet knows " + names);
  return Failed("the kubelet does not know " + unknown.front() + " yet",
                "see that kubelet.devicePluginDirectory is the kubelet's own directory, mounted "
                "from the host, and that the kubelet runs");
}

Finding PodsKnownStep(const NodeSnapshot& node) {
  const pods::DirectoryState& directory = node.pod_directory;
  if (directory.ready) return Ok(Count(directory.pods, "pod"));
  return Failed("the broker does not know the pods of this node: " + directory.problem,
                "see that the broker's service account may list and watch pods");
}

}  // namespace npu_ipc::admin
