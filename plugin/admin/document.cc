#include "plugin/admin/document.h"

#include <time.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "hal/base/process.h"
#include "plugin/admin/documents.h"
#include "plugin/admin/schema.h"

namespace npu_ipc::admin {

using Json = nlohmann::json;

std::string FormatTime(WallTime time) {
  const time_t seconds = std::chrono::system_clock::to_time_t(time);
  tm parts = {};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  const size_t bytes = ::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, bytes};
}

int64_t Seconds(Duration duration) {
  return std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(duration).count());
}

Json NewDocument(std::string_view kind, const NodeSnapshot& node) {
  return {{"apiVersion", kApiVersion},
          {"kind", std::string(kind)},
          {"node", node.node},
          {"time", FormatTime(node.time)}};
}

Json FailureDocument(const Status& status) {
  return {{"apiVersion", kApiVersion},
          {"kind", "Failure"},
          {"reason", std::string(StatusCodeName(status.code()))},
          {"message", status.message()}};
}

std::string Dump(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const pods::Pod* FindPod(const NodeSnapshot& node, const std::string& cgroup_uid) {
  const auto found = std::find_if(node.pods.begin(), node.pods.end(), [&](const auto& pod) {
    return pods::CgroupUid(*pod) == cgroup_uid;
  });
  return found == node.pods.end() ? nullptr : found->get();
}

std::optional<pid_t> ContainerPid(const broker::ProcessKey& process) {
  const auto is_same = [&] {
    const Result<uint64_t> started = ProcessStartTime(process.pid);
    return started.ok() && *started == process.start_time_ticks;
  };
  const Result<std::string> status = ReadFile("/proc/" + std::to_string(process.pid) + "/status");
  if (!status.ok() || !is_same()) return std::nullopt;
  std::istringstream lines(*status);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("NSpid:")) continue;
    // From the outermost namespace that we see to the process' own.
    std::istringstream pids(line.substr(line.find(':') + 1));
    pid_t last = 0;
    for (pid_t pid = 0; pids >> pid;) last = pid;
    if (last != 0) return last;
  }
  return std::nullopt;
}

Json ProcessDescriber::Describe(broker::ClientId client) {
  const broker::ShareSnapshot::Process& process = node_.shares.processes.at(client);
  const broker::ClientInfo& info = process.info;
  Json described = {{"namespace", info.pod_namespace},
                    {"pod", info.pod_name},
                    {"uid", info.pod_uid},
                    {"container", info.container_name},
                    {"containerId", info.container_id},
                    {"hostPid", info.process.pid},
                    {"connected", process.connected}};
  const auto [known, is_new] = container_pids_.try_emplace(info.process.pid);
  if (is_new) known->second = ContainerPid(info.process);
  if (known->second) described["containerPid"] = *known->second;
  return described;
}

DeviceAllocations::DeviceAllocations(const NodeSnapshot& node) {
  if (!node.devices || node.devices->state == nullptr) return;
  const device_view::NodeState& state = *node.devices->state;
  for (const auto& [id, allocation] : state.allocations) {
    Holding holding{&allocation, {}};
    for (const std::string& device_id : allocation.device_ids) {
      const auto device = state.devices.find(device_id);
      if (device != state.devices.end()) holding.devices.push_back(&device->second);
      by_device_.emplace(device_id, &allocation);
    }
    if (allocation.pod_name.empty()) continue;
    by_pod_[allocation.pod_namespace + "/" + allocation.pod_name].push_back(std::move(holding));
  }
}

const std::vector<DeviceAllocations::Holding>& DeviceAllocations::Of(
    const std::string& pod_namespace, const std::string& pod_name) const {
  static const auto* const kNone = new std::vector<Holding>();
  const auto found = by_pod_.find(pod_namespace + "/" + pod_name);
  return found == by_pod_.end() ? *kNone : found->second;
}

std::vector<const device_view::Allocation*> DeviceAllocations::HoldersOf(
    const std::string& device_id) const {
  std::vector<const device_view::Allocation*> holders;
  const auto [begin, end] = by_device_.equal_range(device_id);
  for (auto holder = begin; holder != end; ++holder) holders.push_back(holder->second);
  return holders;
}

Json DeviceAllocations::Claim(uint32_t physical_id, const broker::ClientInfo& process) const {
  bool given_any = false;
  for (const Holding& holding : Of(process.pod_namespace, process.pod_name)) {
    const std::string& container = holding.allocation->container_name;
    if (!process.container_name.empty() && container != process.container_name) continue;
    for (const device_view::DeviceState* const device : holding.devices) {
      given_any = true;
      if (device->hardware.physical_id != physical_id) continue;
      return {{"physicalId", physical_id}, {"evidence", "Confirmed"}};
    }
  }
  return {{"physicalId", physical_id}, {"evidence", given_any ? "Contradicted" : "Claimed"}};
}

}  // namespace npu_ipc::admin
