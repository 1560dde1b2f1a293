#include "plugin/kubelet/registration.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "plugin/grpc/keep_running.h"
#include "plugin/kubelet/proto/device_plugin.grpc.pb.h"

namespace npu_ipc::kubelet {
namespace {

std::shared_ptr<grpc::Channel> Dial(const std::string& socket) {
  KeepGrpcRunning();
  grpc::ChannelArguments arguments;
  // A URL-encoded path, gRPC's own choice for local sockets, is refused by some HTTP/2 servers.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  // A kubelet that restarted must not wait out the back-off that its predecessor's socket earned.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

Status FromGrpc(const grpc::Status& status, const RegistrationRequest& request) {
  if (status.ok()) return Status::Ok();
  StatusCode code = StatusCode::kFailedPrecondition;
  std::string what = "the kubelet refused " + request.resource_name;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    code = StatusCode::kUnavailable;
    what = "no kubelet answers at " + request.kubelet_socket;
  } else if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    code = StatusCode::kDeadlineExceeded;
    what = "the kubelet at " + request.kubelet_socket + " does not answer Register";
  }
  return {code, what + ": " + status.error_message()};
}

}  // namespace

struct KubeletConnection::Channel {
  std::shared_ptr<grpc::Channel> channel;
};

std::unique_ptr<KubeletConnection> KubeletConnection::Begin(const std::string& kubelet_socket) {
  auto channel = std::make_unique<Channel>(Channel{Dial(kubelet_socket)});
  channel->channel->GetState(/*try_to_connect=*/true);
  return std::unique_ptr<KubeletConnection>(new KubeletConnection(std::move(channel)));
}

KubeletConnection::KubeletConnection(std::unique_ptr<Channel> channel)
    : channel_(std::move(channel)) {}

KubeletConnection::~KubeletConnection() = default;

// All of it is freed by the Registration's owner, after the callback: where a thread of gRPC's
// frees the last channel, that thread would have to end itself (gRPC 1.51:
// CallbackAlternativeCQ::Unref joins its threads).
struct Registration::Call {
  RegistrationRequest request;
  std::function<void(Status)> done;  // guarded by mutex; empty when nobody wants to know any more
  std::unique_ptr<v1beta1::Registration::Stub> stub;
  grpc::ClientContext context;
  v1beta1::RegisterRequest message;
  v1beta1::Empty response;
};

// What the callback still touches when the owner may already be freeing the Call.
struct Registration::Answer {
  std::mutex mutex;
  std::condition_variable arrived_changed;
  bool arrived = false;
};

std::unique_ptr<Registration> Registration::Start(const RegistrationRequest& request,
                                                  Duration timeout,
                                                  std::function<void(Status)> done,
                                                  std::unique_ptr<KubeletConnection> connection) {
  auto answer = std::make_shared<Answer>();
  auto call = std::make_unique<Call>();
  call->request = request;
  {
    const std::lock_guard lock(answer->mutex);
    call->done = std::move(done);
  }
  call->stub = v1beta1::Registration::NewStub(
      connection == nullptr ? Dial(request.kubelet_socket) : connection->channel_->channel);
  call->context.set_deadline(std::chrono::system_clock::now() +
                             std::chrono::ceil<std::chrono::milliseconds>(timeout));
  call->message.set_version("v1beta1");
  call->message.set_endpoint(request.endpoint);
  call->message.set_resource_name(request.resource_name);
  call->message.mutable_options()->set_get_preferred_allocation_available(true);
  Call* const started = call.get();
  std::unique_ptr<Registration> registration(new Registration(std::move(call), answer));
  started->stub->async()->Register(&started->context, &started->message, &started->response,
                                   [started, answer](const grpc::Status& status) {
                                     const std::lock_guard lock(answer->mutex);
                                     if (started->done)
                                       started->done(FromGrpc(status, started->request));
                                     answer->arrived = true;
                                     answer->arrived_changed.notify_all();
                                   });
  return registration;
}

Registration::Registration(std::unique_ptr<Call> call, std::shared_ptr<Answer> answer)
    : call_(std::move(call)), answer_(std::move(answer)) {}

Registration::~Registration() {
  {
    const std::lock_guard lock(answer_->mutex);
    call_->done = nullptr;
  }
  call_->context.TryCancel();
  std::unique_lock lock(answer_->mutex);
  answer_->arrived_changed.wait(lock, [this] { return answer_->arrived; });
}

}  // namespace npu_ipc::kubelet
