// One extended resource as the kubelet sees it: what the gRPC adapter of this folder serves.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

#include "hal/base/result.h"
#include "plugin/injection/container_changes.h"

namespace npu_ipc::kubelet {

struct AdvertisedDevice {
  std::string id;  // at most 63 characters; stable for as long as the hardware stays where it is
  bool healthy = true;
  std::vector<int64_t> numa_nodes;  // empty: no hint
};

struct PreferenceRequest {
  std::vector<std::string> available;
  std::vector<std::string> must_include;
  size_t size = 0;
};

// Implementations are safe for concurrent use and answer at once: they wait for no driver, no
// network and no disk. A hung Allocate blocks the admission of every pod of the node
// (kubernetes/kubernetes#129249).
class Resource {
 public:
  virtual ~Resource() = default;

  // "huawei.com/Ascend910B"; never changes.
  virtual const std::string& name() const = 0;

  // All devices, in a stable order.
  virtual std::vector<AdvertisedDevice> Devices() const = 0;

  // What a container that was given these devices needs. The error names the id: kInvalidArgument
  // for a duplicate or an empty list, kNotFound for an unknown one, kFailedPrecondition for one
  // that is unhealthy.
  virtual Result<injection::ContainerChanges> Allocate(
      const std::vector<std::string>& ids) const = 0;

  // The best `size` of `available` that have all of `must_include`. A hint: the kubelet may choose
  // otherwise.
  virtual Result<std::vector<std::string>> Prefer(const PreferenceRequest& request) const = 0;
};

}  // namespace npu_ipc::kubelet
