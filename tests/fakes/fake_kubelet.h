// The kubelet's side of the device plugin API, on real sockets: what a plugin registers with in
// tests and in the demo.
#pragma once

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hal/base/clock.h"
#include "hal/base/result.h"
#include "plugin/injection/container_changes.h"

namespace npu_ipc {

// Behaves as the kubelet's device manager does: when it starts it removes every socket of the
// directory (and leaves other files), then serves Registration at <directory>/kubelet.sock. Within
// Register it dials the plugin back and asks for its options; then it follows ListAndWatch, and
// does not ask again when that stream ends: the resource's devices count as unhealthy until the
// plugin registers anew. All methods are safe for concurrent use.
class FakeKubelet {
 public:
  struct Registration {
    std::string resource_name;
    std::string endpoint;
    std::string version;
    bool preferred_allocation_available = false;  // as GetDevicePluginOptions said, not Register
    bool pre_start_required = false;
  };
  struct Device {
    std::string id;
    bool healthy = false;
    std::vector<int64_t> numa_nodes;
  };
  // Of one resource, as ListAndWatch last had it.
  using DeviceList = std::vector<Device>;

  // Makes the directory where it is missing. kUnavailable when the socket cannot be served.
  static Result<std::unique_ptr<FakeKubelet>> Start(const std::string& directory);
  // Ends as a kubelet that is killed: streams break, kubelet.sock stays behind.
  ~FakeKubelet();
  FakeKubelet(const FakeKubelet&) = delete;
  FakeKubelet& operator=(const FakeKubelet&) = delete;

  // Register calls that succeeded, oldest first.
  std::vector<Registration> Registrations() const;
  // Register calls that came, refused and hanging ones too.
  int RegisterCalls() const;
  // Every Register from now on fails with this message; "" accepts them again.
  void RefuseRegistrations(const std::string& message);
  // Every Register from now on waits until this is set to false.
  void HangRegistrations(bool hang);
  // Called, on a thread of the kubelet's, for each Register that succeeded.
  void OnRegistration(std::function<void(const Registration&)> callback);
  // Breaks the ListAndWatch stream of a resource.
  void EndStream(const std::string& resource_name);

  // Empty where the resource is not registered.
  DeviceList Devices(const std::string& resource_name) const;
  // Waits until `accept` holds of the resource's devices. kDeadlineExceeded says what they were
  // instead.
  Status WaitForDevices(const std::string& resource_name,
                        const std::function<bool(const DeviceList&)>& accept,
                        Duration timeout = std::chrono::seconds(30)) const;
  // `count` healthy ones.
  Status WaitForHealthyDevices(const std::string& resource_name, size_t count,
                               Duration timeout = std::chrono::seconds(30)) const;
  // `count` Register calls that succeeded.
  Status WaitForRegistrations(size_t count, Duration timeout = std::chrono::seconds(30)) const;

  // One container's Allocate. kNotFound when the resource is not registered; a refusal of the
  // plugin's has its message.
  Result<injection::ContainerChanges> Allocate(const std::string& resource_name,
                                               const std::vector<std::string>& ids);
  Result<std::vector<std::string>> GetPreferredAllocation(
      const std::string& resource_name, const std::vector<std::string>& available,
      const std::vector<std::string>& must_include, int32_t size);
  Status PreStartContainer(const std::string& resource_name, const std::vector<std::string>& ids);

 private:
  class Core;
  explicit FakeKubelet(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  std::shared_ptr<Core> core_;
};

}  // namespace npu_ipc
