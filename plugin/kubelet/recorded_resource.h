// A resource whose allocations are kept count of.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plugin/kubelet/resource.h"

namespace npu_ipc::kubelet {

// Answers as `resource` does, and tells `record` of each Allocate that was answered, on the thread
// of the call: it must not block.
class RecordedResource final : public Resource {
 public:
  using Record =
      std::function<void(const std::string& resource, const std::vector<std::string>& ids)>;

  RecordedResource(std::shared_ptr<const Resource> resource, Record record)
      : resource_(std::move(resource)), record_(std::move(record)) {}

  const std::string& name() const override { return resource_->name(); }
  std::vector<AdvertisedDevice> Devices() const override { return resource_->Devices(); }
  Result<injection::ContainerChanges> Allocate(const std::vector<std::string>& ids) const override {
    Result<injection::ContainerChanges> changes = resource_->Allocate(ids);
    if (changes.ok()) record_(name(), ids);
    return changes;
  }
  Result<std::vector<std::string>> Prefer(const PreferenceRequest& request) const override {
    return resource_->Prefer(request);
  }

 private:
  const std::shared_ptr<const Resource> resource_;
  const Record record_;
};

}  // namespace npu_ipc::kubelet
