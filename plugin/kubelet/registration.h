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

// A connection to the kubelet that is made ahead of the call that needs it, while there is nothing
// to register yet: gRPC takes longer to start than the call does.
class KubeletConnection {
 public:
  // Begins to connect, and returns at once. A connection that fails is no error before it is used.
  static std::unique_ptr<KubeletConnection> Begin(const std::string& kubelet_socket);
  ~KubeletConnection();
  KubeletConnection(const KubeletConnection&) = delete;
  KubeletConnection& operator=(const KubeletConnection&) = delete;

 private:
  friend class Registration;
  struct Channel;
  explicit KubeletConnection(std::unique_ptr<Channel> channel);

  const std::unique_ptr<Channel> channel_;
};

// A Register call on its way. Destroying it cancels the call, which takes no time.
class Registration {
 public:
  // Calls Register, over `connection` or, where that is null, a new one, and `done`, once, on
  // another thread, unless the object is destroyed before. The
  // kubelet dials the endpoint back within the call, so it must be served by now. kUnavailable:
  // nobody serves the kubelet's socket; kDeadlineExceeded: no answer within `timeout`;
  // kFailedPrecondition: refused, with the kubelet's reason.
  static std::unique_ptr<Registration> Start(const RegistrationRequest& request, Duration timeout,
                                             std::function<void(Status)> done,
                                             std::unique_ptr<KubeletConnection> connection);
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
