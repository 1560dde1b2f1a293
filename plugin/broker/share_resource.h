// npu-ipc.io/share: what a container requests to be given the library and the broker's socket
// without an NPU of ours.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/injection/container_changes.h"
#include "plugin/kubelet/resource.h"

namespace npu_ipc::broker {

// A marker: its ids stand for nothing, are always healthy, and only limit how many containers of
// the node may have one. For sidecars, and beside the device plugin of somebody else. It gives no
// right: that comes from the pod's annotation. Never changes, so safe for concurrent use.
class ShareResource final : public kubelet::Resource {
 public:
  // Of so many ids the kubelet can take the list in one message of 4 MiB, twice over.
  static constexpr int64_t kMaxIds = 65536;

  // Advertises `count` ids, "share-0" and up. `changes` is what every container is given.
  ShareResource(std::string name, size_t count, injection::ContainerChanges changes);

  const std::string& name() const override { return name_; }
  std::vector<kubelet::AdvertisedDevice> Devices() const override;
  Result<injection::ContainerChanges> Allocate(const std::vector<std::string>& ids) const override;
  // Any will do: those that must be included, then the first that are available.
  Result<std::vector<std::string>> Prefer(const kubelet::PreferenceRequest& request) const override;

 private:
  bool Has(std::string_view id) const;

  const std::string name_;
  const size_t count_;
  const injection::ContainerChanges changes_;
};

}  // namespace npu_ipc::broker
