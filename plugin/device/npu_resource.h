// The NPUs of this node under one resource name, as the kubelet asks for them.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plugin/device/device_table.h"
#include "plugin/injection/container_changes.h"
#include "plugin/kubelet/resource.h"

namespace npu_ipc::device {

// Answers from memory: what the monitor last saw, and what was prepared for containers then.
class NpuResource final : public kubelet::Resource {
 public:
  explicit NpuResource(std::string name) : name_(std::move(name)) {}

  // What holds from now on. `base` is what every container with a device gets beside the device's own node.
  void Update(std::vector<SchedulableDevice> devices, injection::ContainerChanges base);

  const std::string& name() const override { return name_; }
  std::vector<kubelet::AdvertisedDevice> Devices() const override;
  Result<injection::ContainerChanges> Allocate(const std::vector<std::string>& ids) const override;
  Result<std::vector<std::string>> Prefer(const kubelet::PreferenceRequest& request) const override;

 private:
  struct View {
    std::vector<SchedulableDevice> devices;
    injection::ContainerChanges base;

    const SchedulableDevice* Find(const std::string& id) const;
  };
  std::shared_ptr<const View> Current() const;

  const std::string name_;
  mutable std::mutex mutex_;
  std::shared_ptr<const View> view_ = std::make_shared<const View>();  // guarded by mutex_
};

}  // namespace npu_ipc::device
