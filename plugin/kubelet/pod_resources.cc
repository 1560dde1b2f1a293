#include "plugin/kubelet/pod_resources.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "plugin/grpc/keep_running.h"
#include "plugin/kubelet/proto/pod_resources.grpc.pb.h"

namespace npu_ipc::kubelet {
namespace {

using Stub = v1::PodResourcesLister::Stub;
using Merged = std::map<std::pair<ContainerName, std::string>, std::set<std::string>>;

constexpr int kLargestAnswer = 64 << 20;

std::unique_ptr<Stub> Dial(const std::string& socket) {
  KeepGrpcRunning();
  grpc::ChannelArguments arguments;
  // A URL-encoded path, gRPC's own choice for local sockets, is refused by some HTTP/2 servers.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  // A kubelet that restarted must not wait out the back-off that its predecessor's socket earned.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kLargestAnswer);
  return v1::PodResourcesLister::NewStub(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
}

void Merge(const v1::PodResources& pod, Merged& merged) {
  for (const v1::ContainerResources& container : pod.containers()) {
    const ContainerName name{pod.namespace_(), pod.name(), container.name()};
    for (const v1::ContainerDevices& devices : container.devices()) {
      merged[{name, devices.resource_name()}].insert(devices.device_ids().begin(),
                                                     devices.device_ids().end());
    }
  }
}

std::vector<ContainerDevices> ToList(const Merged& merged) {
  std::vector<ContainerDevices> list;
  for (const auto& [key, ids] : merged) {
    list.push_back({key.first, key.second, {ids.begin(), ids.end()}});
  }
  return list;
}

// The kubelet returns plain errors, which gRPC for Go sends as UNKNOWN: the words are all there is.
bool HasNoGet(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNIMPLEMENTED ||
         status.error_message().find("Get method disabled") != std::string::npos;
}

bool IsUnknownPod(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::NOT_FOUND ||
         (status.error_code() == grpc::StatusCode::UNKNOWN &&
          status.error_message().ends_with("not found"));
}

Status FromGrpc(const grpc::Status& status, const std::string& socket) {
  const std::string& reason = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return Status::Ok();
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
      return {StatusCode::kUnavailable, "no kubelet answers at " + socket + ": " + reason};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {StatusCode::kDeadlineExceeded,
              "the kubelet at " + socket + " does not answer: " + reason};
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return {StatusCode::kResourceExhausted,
              "the kubelet at " + socket + " has enough of questions: " + reason};
    default:
      return {StatusCode::kFailedPrecondition, "the kubelet at " + socket + ": " + reason};
  }
}

Status UnknownPod(const std::string& pod_namespace, const std::string& pod) {
  return {StatusCode::kNotFound, "the kubelet does not know pod " + pod_namespace + "/" + pod};
}

}  // namespace

struct PodResourcesClient::Connection {
  // Runs one call of the stub, dialling where need be; `call` is given the stub and the context.
  template <class Call>
  grpc::Status Run(const std::string& socket, Duration timeout, const Call& call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::ceil<std::chrono::milliseconds>(timeout));
    {
      const std::lock_guard lock(mutex);
      if (cancelled) return {grpc::StatusCode::CANCELLED, "stopping"};
      running = &context;
    }
    if (stub == nullptr) stub = Dial(socket);
    const grpc::Status status = call(*stub, context);
    {
      const std::lock_guard lock(mutex);
      running = nullptr;
    }
    if (!status.ok()) stub.reset();
    return status;
  }

  std::unique_ptr<Stub> stub;  // the calling thread's

  std::mutex mutex;
  grpc::ClientContext* running = nullptr;  // guarded by mutex
  bool cancelled = false;                  // guarded by mutex
};

PodResourcesClient::PodResourcesClient(std::string socket, Duration timeout)
    : socket_(std::move(socket)), timeout_(timeout), connection_(std::make_unique<Connection>()) {}

PodResourcesClient::~PodResourcesClient() = default;

Result<std::vector<ContainerDevices>> PodResourcesClient::List() {
  v1::ListPodResourcesResponse response;
  const grpc::Status status =
      connection_->Run(socket_, timeout_, [&](Stub& stub, grpc::ClientContext& context) {
        return stub.List(&context, v1::ListPodResourcesRequest(), &response);
      });
  if (!status.ok()) return FromGrpc(status, socket_);
  Merged merged;
  for (const v1::PodResources& pod : response.pod_resources()) Merge(pod, merged);
  return ToList(merged);
}

Result<std::vector<ContainerDevices>> PodResourcesClient::Get(const std::string& pod_namespace,
                                                              const std::string& pod) {
  v1::GetPodResourcesRequest request;
  request.set_pod_namespace(pod_namespace);
  request.set_pod_name(pod);
  v1::GetPodResourcesResponse response;
  grpc::Status status =
      connection_->Run(socket_, timeout_, [&](Stub& stub, grpc::ClientContext& context) {
        return stub.Get(&context, request, &response);
      });
  if (HasNoGet(status)) {
    v1::ListPodResourcesResponse all;
    status = connection_->Run(socket_, timeout_, [&](Stub& stub, grpc::ClientContext& context) {
      return stub.List(&context, v1::ListPodResourcesRequest(), &all);
    });
    if (!status.ok()) return FromGrpc(status, socket_);
    for (const v1::PodResources& listed : all.pod_resources()) {
      if (listed.name() != pod || listed.namespace_() != pod_namespace) continue;
      Merged merged;
      Merge(listed, merged);
      return ToList(merged);
    }
    return UnknownPod(pod_namespace, pod);
  }
  if (IsUnknownPod(status)) return UnknownPod(pod_namespace, pod);
  if (!status.ok()) return FromGrpc(status, socket_);
  Merged merged;
  Merge(response.pod_resources(), merged);
  return ToList(merged);
}

void PodResourcesClient::Cancel() {
  const std::lock_guard lock(connection_->mutex);
  connection_->cancelled = true;
  if (connection_->running != nullptr) connection_->running->TryCancel();
}

}  // namespace npu_ipc::kubelet
