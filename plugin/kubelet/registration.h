// The one call that a plugin makes to the kubelet.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "hal/base/clock.h"
#include "hal/base/result.h"

namespace npu_ipc::kubelet {

struct RegistrationRequest {
  std::string kubelet_socket;  // path
  std::string endpoint;        // the plugin's socket: its file name in the kubelet's directory
  std::string resource_name;
};

// A Register call on its way. Destroying it cancels the call, which takes no time.
class Registration {
 public:
  // Calls Register and `done`, once, on another thread, unless the object is destroyed before. The
  // kubelet dials the endpoint back within the call, so it must be served by now. kUnavailable:
  // nobody serves the kubelet's socket; kDeadlineExceeded: no answer within `timeout`;
  // kFailedPrecondition: refused, with the kubelet's reason.
  static std::unique_ptr<Registration> Start(const RegistrationRequest& request, Duration timeout,
                                             std::function<void(Status)> done);
  ~Registration();
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  struct Call;
  struct Answer;
  Registration(std::unique_ptr<Call> call, std::shared_ptr<Answer> answer);

  const std::unique_ptr<Call> call_;
  const std::shared_ptr<Answer> answer_;
};

}  // namespace npu_ipc::kubelet
