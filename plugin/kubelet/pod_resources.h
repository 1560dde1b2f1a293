// The kubelet's podresources service: which container holds which device.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hal/base/clock.h"
#include "hal/base/result.h"
#include "plugin/kubelet/allocation_tracker.h"

namespace npu_ipc::kubelet {

// Asks over a local socket, which need not exist yet. A call waits for the answer, for up to the
// timeout, and dials anew after a failure, so a kubelet that was restarted is asked at once. One
// call at a time; only Cancel() is for other threads.
//
// Errors of both calls: kUnavailable: nobody serves the socket; kDeadlineExceeded: no answer in
// time; kResourceExhausted: asked too often (the kubelet allows 100 calls a second of all its
// clients together); otherwise kFailedPrecondition with the kubelet's own words.
class PodResourcesClient {
 public:
  PodResourcesClient(std::string socket, Duration timeout);
  ~PodResourcesClient();
  PodResourcesClient(const PodResourcesClient&) = delete;
  PodResourcesClient& operator=(const PodResourcesClient&) = delete;

  // All containers with devices, of any resource, by container and resource; the entries that the
  // kubelet splits one resource into are one.
  Result<std::vector<ContainerDevices>> List();

  // One pod's, empty where it has none. Asks List where the kubelet has no Get (before 1.36 it is
  // disabled by default). kNotFound when the kubelet does not know the pod, which is no proof that
  // it is gone: for a second or two after its start it knows none.
  Result<std::vector<ContainerDevices>> Get(const std::string& pod_namespace,
                                            const std::string& pod);

  // Ends the call under way, and every later one at once, with kUnavailable. Any thread.
  void Cancel();

 private:
  struct Connection;

  const std::string socket_;
  const Duration timeout_;
  const std::unique_ptr<Connection> connection_;
};

}  // namespace npu_ipc::kubelet
