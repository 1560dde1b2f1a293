// A resource whose allocations are kept count of.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hal/base/clock.h"
#include "plugin/kubelet/resource.h"

namespace npu_ipc::kubelet {

struct AllocateCall {
  const std::string& resource;
  const std::vector<std::string>& device_ids;
  Duration took;
  Status status;  // why it was refused
};

// Answers as `resource` does, and tells `record` of each Allocate, on the thread of the call: it
// must not block.
class RecordedResource final : public Resource {
 public:
  using Record = std::function<void(const AllocateCall& call)>;

  // `clock` must outlive the resource.
  RecordedResource(std::shared_ptr<const Resource> resource, Record record,
                   const Clock& clock = SystemClock())
      : resource_(std::move(resource)), record_(std::move(record)), clock_(clock) {}

  const std::string& name() const override { return resource_->name(); }
  std::vector<AdvertisedDevice> Devices() const override { return resource_->Devices(); }
  Result<injection::ContainerChanges> Allocate(const std::vector<std::string>& ids) const override {
    const TimePoint begin = clock_.Now();
    Result<injection::ContainerChanges> changes = resource_->Allocate(ids);
    record_({name(), ids, clock_.Now() - begin, changes.status()});
    return changes;
  }
  Result<std::vector<std::string>> Prefer(const PreferenceRequest& request) const override {
    return resource_->Prefer(request);
  }

 private:
  const std::shared_ptr<const Resource> resource_;
  const Record record_;
  const Clock& clock_;
};

}  // namespace npu_ipc::kubelet
