// The NPUs of this node under one resource name, as the kubelet asks for them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plugin/device/device_table.h"
#include "plugin/injection/container_changes.h"
#include "plugin/injection/device_injection.h"
#include "plugin/kubelet/resource.h"

namespace npu_ipc::device {

// What is served under the name, from one change to the next.
struct Offer {
  std::vector<SchedulableDevice> devices;  // by ascending physical id
  LinkTable links;
  injection::ContainerChanges
      base;             // what every container with a device gets beside its device's own node
  size_t replicas = 1;  // how often each device is advertised
  injection::DeviceMode mode = injection::DeviceMode::kMounts;  // what a device itself adds
};

// Answers from memory: what the monitor last saw, and what was prepared for containers then.
class NpuResource final : public kubelet::Resource {
 public:
  explicit NpuResource(std::string name) : name_(std::move(name)) {}

  // What holds from now on.
  void Update(Offer offer);

  const std::string& name() const override { return name_; }
  std::vector<kubelet::AdvertisedDevice> Devices() const override;
  Result<injection::ContainerChanges> Allocate(const std::vector<std::string>& ids) const override;
  Result<std::vector<std::string>> Prefer(const kubelet::PreferenceRequest& request) const override;

 private:
  struct View {
    Offer offer;
    std::map<std::string, size_t> index_of;  // the device, by each id that is advertised of it
  };
  using Counts = std::vector<size_t>;  // of replicas, by the device's index
  Result<Counts> CountByDevice(const View& view, const std::vector<std::string>& ids) const;
  std::shared_ptr<const View> Current() const;

  const std::string name_;
  mutable std::mutex mutex_;
  std::shared_ptr<const View> view_ = std::make_shared<const View>();  // guarded by mutex_
};

// The id that the kubelet knows one of a device's replicas by: "npu-3::1", or "npu-3" where there
// is but one.
std::string ReplicaId(const std::string& device_id, size_t replica, size_t replicas);
// The other way: "npu-3" of "npu-3::1".
std::string DeviceOfReplica(const std::string& replica_id);

}  // namespace npu_ipc::device
