#include "plugin/device/dry_run.h"

#include <algorithm>
#include <map>
#include <vector>

#include <nlohmann/json.hpp>

#include "plugin/device/npu_resource.h"
#include "plugin/injection/device_injection.h"
#include "plugin/injection/host_files.h"

namespace npu_ipc::device {
namespace {

using json = nlohmann::ordered_json;

Snapshot TakeSnapshot(const Settings& settings, const DevicePoller::OpenDeviceManager& open) {
  const Result<std::unique_ptr<hal::DeviceManager>> manager = open();
  LinkTable links;
  DeviceTable table(settings.health.thresholds, settings.health.faults);
  if (manager.ok()) {
    table.Observe(
        LookAt(**manager, LookScope::kScheduling, {settings.health.sharing.needed, false}, &links));
  } else {
    table.Observe(Observation{manager.status(), {}, {}, {}});
  }
  return *table.snapshot();
}

json Describe(const injection::ContainerChanges& changes) {
  json described = {{"environment", changes.environment},
                    {"mounts", json::array()},
                    {"deviceNodes", json::array()},
                    {"annotations", changes.annotations},
                    {"cdiDevices", changes.cdi_devices}};
  for (const injection::Mount& mount : changes.mounts) {
    described["mounts"].push_back({{"containerPath", mount.container_path},
                                   {"hostPath", mount.host_path},
                                   {"readOnly", mount.read_only}});
  }
  for (const injection::DeviceNode& node : changes.device_nodes) {
    described["deviceNodes"].push_back({{"containerPath", node.container_path},
                                        {"hostPath", node.host_path},
                                        {"permissions", node.permissions}});
  }
  return described;
}

json DescribeLinks(const Offer& offer) {
  json links = json::object();
  for (const SchedulableDevice& a : offer.devices) {
    for (const SchedulableDevice& b : offer.devices) {
      const hal::LinkType link =
          LinkBetween(offer.links, a.hardware.physical_id, b.hardware.physical_id);
      if (a.id != b.id) links[a.id][b.id] = hal::LinkTypeName(link);
    }
  }
  return links;
}

// A request for two, or for what there is.
json DescribeExample(const NpuResource& resource) {
  kubelet::PreferenceRequest request;
  for (const kubelet::AdvertisedDevice& device : resource.Devices()) {
    if (device.healthy) request.available.push_back(device.id);
  }
  request.size = std::min<size_t>(2, request.available.size());
  if (request.size == 0) return nullptr;
  const Result<std::vector<std::string>> preferred = resource.Prefer(request);
  if (!preferred.ok()) return {{"error", preferred.status().message()}};
  const Result<injection::ContainerChanges> changes = resource.Allocate(*preferred);
  if (!changes.ok()) return {{"error", changes.status().message()}};
  return {{"preferred", *preferred}, {"allocate", Describe(*changes)}};
}

json DescribeResource(const std::string& name, Offer offer) {
  json devices = json::array();
  for (const SchedulableDevice& device : offer.devices) {
    for (size_t n = 0; n < offer.replicas; ++n) {
      json& added = devices.emplace_back();
      added["id"] = ReplicaId(device.id, n, offer.replicas);
      added["healthy"] = device.healthy;
      if (!device.healthy) added["reason"] = device.reason;
      if (device.hardware.numa_node) added["numaNode"] = *device.hardware.numa_node;
      added["chip"] = device.hardware.chip_name;
      added["deviceNode"] = device.hardware.device_node;
    }
  }
  json links = DescribeLinks(offer);
  NpuResource resource(name);
  resource.Update(std::move(offer));
  return {{"name", name},
          {"devices", std::move(devices)},
          {"links", std::move(links)},
          {"example", DescribeExample(resource)}};
}

std::string Text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// One line a device; what is nested deeper as indented JSON.
std::string Render(const json& all) {
  std::string text;
  if (all.contains("problem")) text += "problem: " + Text(all["problem"]) + "\n";
  if (all["resources"].empty()) text += "nothing would be advertised\n";
  for (const json& resource : all["resources"]) {
    text += "resource " + Text(resource["name"]) + ": " +
            std::to_string(resource["devices"].size()) + " devices\n";
    for (const json& device : resource["devices"]) {
      text += " ";
      for (const auto& [key, value] : device.items()) text += " " + key + "=" + Text(value);
      text += "\n";
    }
    for (const auto& [id, links] : resource["links"].items()) {
      text += "  links of " + id + ":";
      for (const auto& [other, link] : links.items()) text += " " + other + "=" + Text(link);
      text += "\n";
    }
    text += "  example: " + resource["example"].dump(2) + "\n";
  }
  return text;
}

}  // namespace

std::string DryRun(const Settings& settings, const DevicePoller::OpenDeviceManager& open,
                   bool as_json) {
  const Snapshot snapshot = TakeSnapshot(settings, open);
  injection::ContainerChanges base = injection::LibraryChanges(
      settings.library.store + "/<hash of its contents>", settings.library.socket_directory);
  const injection::DeviceMode mode = injection::ParseDeviceMode(settings.injection.mode).value();
  injection::Append(base,
                    injection::CommonChanges(mode, injection::DriverChanges(settings.driver)));
  std::map<std::string, Offer> offers;
  for (const SchedulableDevice& device : snapshot.devices) {
    Offer& offer = offers[ResourceName(settings, device.hardware.family)];
    offer.devices.push_back(device);
    offer.links = snapshot.links;
    offer.base = base;
    offer.replicas = static_cast<size_t>(settings.replicas);
    offer.mode = mode;
  }
  json all = json::object();
  if (!snapshot.problem.empty()) all["problem"] = snapshot.problem;
  all["resources"] = json::array();
  for (auto& [name, offer] : offers) {
    all["resources"].push_back(DescribeResource(name, std::move(offer)));
  }
  return as_json ? all.dump(2, ' ', false, json::error_handler_t::replace) + "\n" : Render(all);
}

}  // namespace npu_ipc::device
