#include "plugin/kubelet/registration.h"

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <utility>

#include "plugin/kubelet/proto/device_plugin.grpc.pb.h"

namespace npu_ipc::kubelet {
namespace {

std::shared_ptr<grpc::Channel> Dial(const std::string& socket) {
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

// Lives until gRPC has called back and the Registration is gone.
struct Registration::Call {
  RegistrationRequest request;
  std::unique_ptr<v1beta1::Registration::Stub> stub;
  grpc::ClientContext context;
  v1beta1::RegisterRequest message;
  v1beta1::Empty response;
  std::mutex mutex;
  std::function<void(Status)> done;  // guarded by mutex; empty once called or abandoned
};

std::unique_ptr<Registration> Registration::Start(const RegistrationRequest& request,
                                                  Duration timeout,
                                                  std::function<void(Status)> done) {
  auto call = std::make_shared<Call>();
  call->request = request;
  call->stub = v1beta1::Registration::NewStub(Dial(request.kubelet_socket));
  call->context.set_deadline(std::chrono::system_clock::now() +
                             std::chrono::ceil<std::chrono::milliseconds>(timeout));
  call->message.set_version("v1beta1");
  call->message.set_endpoint(request.endpoint);
  call->message.set_resource_name(request.resource_name);
  call->message.mutable_options()->set_get_preferred_allocation_available(true);
  call->done = std::move(done);
  call->stub->async()->Register(&call->context, &call->message, &call->response,
                                [call](const grpc::Status& status) {
                                  const std::lock_guard lock(call->mutex);
                                  if (call->done) call->done(FromGrpc(status, call->request));
                                  call->done = nullptr;
                                });
  return std::unique_ptr<Registration>(new Registration(std::move(call)));
}

Registration::Registration(std::shared_ptr<Call> call) : call_(std::move(call)) {}

Registration::~Registration() {
  {
    const std::lock_guard lock(call_->mutex);
    call_->done = nullptr;
  }
  call_->context.TryCancel();
}

}  // namespace npu_ipc::kubelet
