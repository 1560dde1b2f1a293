#include "plugin/device/npu_resource.h"

#include <algorithm>
#include <set>
#include <utility>

#include "plugin/device/preferred_allocation.h"
#include "plugin/injection/host_files.h"

namespace npu_ipc::device {

std::string ReplicaId(const std::string& device_id, size_t replica, size_t replicas) {
  return replicas == 1 ? device_id : device_id + "::" + std::to_string(replica);
}

std::string DeviceOfReplica(const std::string& replica_id) {
  return replica_id.substr(0, replica_id.find("::"));
}

void NpuResource::Update(Offer offer) {
  auto view = std::make_shared<View>();
  view->offer = std::move(offer);
  for (size_t i = 0; i < view->offer.devices.size(); ++i) {
    for (size_t n = 0; n < view->offer.replicas; ++n) {
      view->index_of[ReplicaId(view->offer.devices[i].id, n, view->offer.replicas)] = i;
    }
  }
  const std::lock_guard lock(mutex_);
  view_ = std::move(view);
}

std::shared_ptr<const NpuResource::View> NpuResource::Current() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

std::vector<kubelet::AdvertisedDevice> NpuResource::Devices() const {
  std::vector<kubelet::AdvertisedDevice> advertised;
  const std::shared_ptr<const View> view = Current();
  const Offer& offer = view->offer;
  for (const SchedulableDevice& device : offer.devices) {
    for (size_t n = 0; n < offer.replicas; ++n) {
      kubelet::AdvertisedDevice& added = advertised.emplace_back();
      added.id = ReplicaId(device.id, n, offer.replicas);
      added.healthy = device.healthy;
      if (device.hardware.numa_node) added.numa_nodes.push_back(*device.hardware.numa_node);
    }
  }
  return advertised;
}

Result<NpuResource::Counts> NpuResource::CountByDevice(const View& view,
                                                       const std::vector<std::string>& ids) const {
  Counts counts(view.offer.devices.size());
  std::set<std::string> named;
  for (const std::string& id : ids) {
    const auto found = view.index_of.find(id);
    if (found == view.index_of.end()) {
      return Status(StatusCode::kNotFound, name_ + " has no device '" + id + "' on this node");
    }
    if (!named.insert(id).second) {
      return Status(StatusCode::kInvalidArgument,
                    "device '" + id + "' of " + name_ + " is named twice");
    }
    ++counts[found->second];
  }
  return counts;
}

Result<injection::ContainerChanges> NpuResource::Allocate(
    const std::vector<std::string>& ids) const {
  if (ids.empty())
    return Status(StatusCode::kInvalidArgument, "no device of " + name_ + " is named");
  const std::shared_ptr<const View> view = Current();
  if (const Result<Counts> known = CountByDevice(*view, ids); !known.ok()) return known.status();
  std::vector<injection::NpuDevice> given;
  for (const std::string& id : ids) {
    const size_t index = view->index_of.at(id);
    const SchedulableDevice& device = view->offer.devices[index];
    if (!device.healthy) {
      return Status(StatusCode::kFailedPrecondition,
                    "device '" + id + "' of " + name_ + " is unhealthy: " + device.reason);
    }
    given.push_back({device.id, device.hardware.physical_id, device.hardware.device_node});
  }
  injection::ContainerChanges changes = view->offer.base;
  injection::Append(changes, injection::DeviceChanges(view->offer.mode, given));
  return changes;
}

Result<std::vector<std::string>> NpuResource::Prefer(
    const kubelet::PreferenceRequest& request) const {
  const std::shared_ptr<const View> view = Current();
  const Offer& offer = view->offer;
  std::set<std::string> free(request.available.begin(), request.available.end());
  free.insert(request.must_include.begin(), request.must_include.end());
  const Result<Counts> required = CountByDevice(*view, request.must_include);
  if (!required.ok()) return required.status();
  const Result<Counts> available = CountByDevice(*view, {free.begin(), free.end()});
  if (!available.ok()) return available.status();

  std::vector<CardState> cards;
  for (size_t i = 0; i < offer.devices.size(); ++i) {
    const hal::Device& hardware = offer.devices[i].hardware;
    cards.push_back({hardware.physical_id, hardware.card_id, hardware.numa_node, offer.replicas,
                     (*available)[i], (*required)[i]});
  }
  const std::optional<Counts> counts = ChooseReplicas(cards, offer.links, request.size);
  if (!counts) {
    return Status(StatusCode::kInvalidArgument,
                  "cannot choose " + std::to_string(request.size) + " of " +
                      std::to_string(free.size()) + " devices of " + name_ + " with " +
                      std::to_string(request.must_include.size()) + " of them given");
  }
  std::vector<std::string> chosen = request.must_include;
  for (const std::string& id : request.must_include) free.erase(id);
  for (size_t i = 0; i < offer.devices.size(); ++i) {
    size_t missing = (*counts)[i] - (*required)[i];
    for (size_t n = 0; n < offer.replicas && missing > 0; ++n) {
      std::string id = ReplicaId(offer.devices[i].id, n, offer.replicas);
      if (free.erase(id) == 0) continue;
      chosen.push_back(std::move(id));
      --missing;
    }
  }
  return chosen;
}

}  // namespace npu_ipc::device
