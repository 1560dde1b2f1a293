#include "plugin/device/npu_resource.h"

#include <algorithm>
#include <set>
#include <utility>

#include "plugin/injection/host_files.h"

namespace npu_ipc::device {

void NpuResource::Update(std::vector<SchedulableDevice> devices, injection::ContainerChanges base) {
  auto view = std::make_shared<View>();
  view->devices = std::move(devices);
  view->base = std::move(base);
  const std::lock_guard lock(mutex_);
  view_ = std::move(view);
}

std::shared_ptr<const NpuResource::View> NpuResource::Current() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

const SchedulableDevice* NpuResource::View::Find(const std::string& id) const {
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const auto& device) { return device.id == id; });
  return found == devices.end() ? nullptr : &*found;
}

std::vector<kubelet::AdvertisedDevice> NpuResource::Devices() const {
  std::vector<kubelet::AdvertisedDevice> advertised;
  for (const SchedulableDevice& device : Current()->devices) {
    kubelet::AdvertisedDevice& added = advertised.emplace_back();
    added.id = device.id;
    added.healthy = device.healthy;
    if (device.hardware.numa_node) added.numa_nodes.push_back(*device.hardware.numa_node);
  }
  return advertised;
}

Result<injection::ContainerChanges> NpuResource::Allocate(
    const std::vector<std::string>& ids) const {
  if (ids.empty())
    return Status(StatusCode::kInvalidArgument, "no device of " + name_ + " is named");
  const std::shared_ptr<const View> view = Current();
  injection::ContainerChanges changes = view->base;
  std::set<std::string> named;
  for (const std::string& id : ids) {
    const SchedulableDevice* device = view->Find(id);
    if (device == nullptr) {
      return Status(StatusCode::kNotFound, name_ + " has no device '" + id + "' on this node");
    }
    if (!named.insert(id).second) {
      return Status(StatusCode::kInvalidArgument,
                    "device '" + id + "' of " + name_ + " is named twice");
    }
    if (!device->healthy) {
      return Status(StatusCode::kFailedPrecondition,
                    "device '" + id + "' of " + name_ + " is unhealthy: " + device->reason);
    }
    changes.device_nodes.push_back({device->hardware.device_node, device->hardware.device_node});
  }
  return changes;
}

Result<std::vector<std::string>> NpuResource::Prefer(
    const kubelet::PreferenceRequest& request) const {
  std::vector<std::string> chosen;
  std::set<std::string> taken;
  for (const auto* from : {&request.must_include, &request.available}) {
    for (const std::string& id : *from) {
      if (chosen.size() < request.size && taken.insert(id).second) chosen.push_back(id);
    }
  }
  if (request.must_include.size() > request.size || chosen.size() < request.size) {
    return Status(StatusCode::kInvalidArgument,
                  "cannot choose " + std::to_string(request.size) + " of " +
                      std::to_string(request.available.size()) + " devices of " + name_ + " with " +
                      std::to_string(request.must_include.size()) + " of them given");
  }
  return chosen;
}

}  // namespace npu_ipc::device
