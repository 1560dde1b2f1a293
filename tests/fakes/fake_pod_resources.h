// The kubelet's podresources service, on a real socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hal/base/clock.h"
#include "hal/base/result.h"
#include "plugin/kubelet/allocation_tracker.h"

namespace npu_ipc {

// Answers as the kubelet does: one entry a device id, even of one resource, in an order that
// changes from answer to answer; errors as gRPC for Go sends plain ones, with code UNKNOWN. All
// methods are safe for concurrent use.
class FakePodResources {
 public:
  // kUnavailable when the socket cannot be served.
  static Result<std::unique_ptr<FakePodResources>> Start(const std::string& socket);
  ~FakePodResources();
  FakePodResources(const FakePodResources&) = delete;
  FakePodResources& operator=(const FakePodResources&) = delete;

  void Set(std::vector<kubelet::ContainerDevices> containers);
  // Get fails with the words of a kubelet whose feature gate is off.
  void DisableGet();
  // Every call fails with the words of the kubelet's rate limiter, until false.
  void LimitRate(bool limit);
  // Calls wait until this is set to false.
  void Hang(bool hang);

  int lists() const;  // List calls that came
  int gets() const;
  Status WaitForLists(int count, Duration timeout = std::chrono::seconds(30)) const;

 private:
  class Service;
  explicit FakePodResources(std::unique_ptr<Service> service);
  std::unique_ptr<Service> service_;
};

}  // namespace npu_ipc
