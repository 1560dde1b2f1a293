// A resource whose devices the test sets.
#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "plugin/kubelet/resource.h"

namespace npu_ipc::kubelet {

class FakeResource final : public Resource {
 public:
  FakeResource(std::string name, std::vector<AdvertisedDevice> devices)
      : name_(std::move(name)), devices_(std::move(devices)) {}

  void Set(std::vector<AdvertisedDevice> devices) {
    const std::lock_guard lock(mutex_);
    devices_ = std::move(devices);
  }

  const std::string& name() const override { return name_; }
  std::vector<AdvertisedDevice> Devices() const override {
    const std::lock_guard lock(mutex_);
    return devices_;
  }
  // Everything that an answer can hold; "bad" is refused.
  Result<injection::ContainerChanges> Allocate(const std::vector<std::string>& ids) const override {
    injection::ContainerChanges changes;
    for (const std::string& id : ids) {
      if (id == "bad") return Status(StatusCode::kFailedPrecondition, "device 'bad' is unhealthy");
      changes.device_nodes.push_back({"/dev/in-" + id, "/dev/" + id, "rwm"});
    }
    changes.mounts = {{"/in", "/out", true}, {"/in2", "/out2", false}};
    changes.environment = {{"A", "1"}, {"B", "2"}};
    changes.annotations = {{"example.com/a", "x"}};
    changes.cdi_devices = {"example.com/npu=0"};
    return changes;
  }
  Result<std::vector<std::string>> Prefer(const PreferenceRequest& request) const override {
    if (request.available.size() < request.size) {
      return Status(StatusCode::kInvalidArgument, "too few");
    }
    std::vector<std::string> ids = request.must_include;
    ids.push_back(request.available.front());
    return ids;
  }

 private:
  const std::string name_;
  mutable std::mutex mutex_;
  std::vector<AdvertisedDevice> devices_;  // guarded by mutex_
};

}  // namespace npu_ipc::kubelet
