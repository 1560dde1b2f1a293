#include "plugin/kubelet/device_plugin_server.h"

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <set>
#include <utility>

#include "plugin/grpc/state_stream.h"
#include "plugin/grpc/unix_server.h"
#include "plugin/kubelet/proto/device_plugin.grpc.pb.h"

namespace npu_ipc::kubelet {
namespace {

grpc::Status ToGrpc(const Status& status) {
  grpc::StatusCode code = grpc::StatusCode::INTERNAL;
  switch (status.code()) {
    case StatusCode::kOk:
      return grpc::Status::OK;
    case StatusCode::kInvalidArgument:
      code = grpc::StatusCode::INVALID_ARGUMENT;
      break;
    case StatusCode::kNotFound:
      code = grpc::StatusCode::NOT_FOUND;
      break;
    case StatusCode::kFailedPrecondition:
      code = grpc::StatusCode::FAILED_PRECONDITION;
      break;
    case StatusCode::kUnavailable:
      code = grpc::StatusCode::UNAVAILABLE;
      break;
    default:
      break;
  }
  return {code, status.message()};
}

v1beta1::ListAndWatchResponse ToProto(const std::vector<AdvertisedDevice>& devices) {
  v1beta1::ListAndWatchResponse response;
  for (const AdvertisedDevice& device : devices) {
    v1beta1::Device* added = response.add_devices();
    added->set_id(device.id);
    added->set_health(device.healthy ? "Healthy" : "Unhealthy");
    for (const int64_t node : device.numa_nodes) {
      added->mutable_topology()->add_nodes()->set_id(node);
    }
  }
  return response;
}

void ToProto(injection::ContainerChanges changes, v1beta1::ContainerAllocateResponse* response) {
  for (auto& [name, value] : changes.environment) (*response->mutable_envs())[name] = value;
  for (auto& [name, value] : changes.annotations) (*response->mutable_annotations())[name] = value;
  for (injection::Mount& mount : changes.mounts) {
    v1beta1::Mount* added = response->add_mounts();
    added->set_container_path(std::move(mount.container_path));
    added->set_host_path(std::move(mount.host_path));
    added->set_read_only(mount.read_only);
  }
  for (injection::DeviceNode& node : changes.device_nodes) {
    v1beta1::DeviceSpec* added = response->add_devices();
    added->set_container_path(std::move(node.container_path));
    added->set_host_path(std::move(node.host_path));
    added->set_permissions(std::move(node.permissions));
  }
  for (std::string& device : changes.cdi_devices) {
    response->add_cdi_devices()->set_name(std::move(device));
  }
}

class DeviceStream;

// The open streams of one server. Shared with the streams, which may outlive the server by a
// moment.
class StreamHub {
 public:
  StreamHub(std::shared_ptr<const Resource> resource,
            DevicePluginServer::StreamsChanged streams_changed)
      : resource_(std::move(resource)), streams_changed_(std::move(streams_changed)) {}

  const Resource& resource() const { return *resource_; }
  void Add(DeviceStream* stream);
  void Remove(DeviceStream* stream);
  void SendAll();

 private:
  const std::shared_ptr<const Resource> resource_;
  const DevicePluginServer::StreamsChanged streams_changed_;
  std::mutex mutex_;
  std::set<DeviceStream*> streams_;  // guarded by mutex_; taken before a stream's own
};

// One ListAndWatch call. Deletes itself when gRPC is done with it.
class DeviceStream final : public StateStream<v1beta1::ListAndWatchResponse> {
 public:
  explicit DeviceStream(std::shared_ptr<StreamHub> hub) : hub_(std::move(hub)) {
    hub_->Add(this);
    StateChanged();
  }

  void OnDone() override {
    hub_->Remove(this);
    delete this;
  }

 private:
  bool Describe(v1beta1::ListAndWatchResponse* response) override {
    *response = ToProto(hub_->resource().Devices());
    return true;
  }

  const std::shared_ptr<StreamHub> hub_;
};

void StreamHub::Add(DeviceStream* stream) {
  int open = 0;
  {
    const std::lock_guard lock(mutex_);
    streams_.insert(stream);
    open = static_cast<int>(streams_.size());
  }
  streams_changed_(open);
}

void StreamHub::Remove(DeviceStream* stream) {
  int open = 0;
  {
    const std::lock_guard lock(mutex_);
    streams_.erase(stream);
    open = static_cast<int>(streams_.size());
  }
  streams_changed_(open);
}

void StreamHub::SendAll() {
  const std::lock_guard lock(mutex_);
  for (DeviceStream* stream : streams_) stream->StateChanged();
}

Status Allocate(const Resource& resource, const v1beta1::AllocateRequest& request,
                v1beta1::AllocateResponse* response) {
  for (const auto& container : request.container_requests()) {
    Result<injection::ContainerChanges> changes =
        resource.Allocate({container.devices_ids().begin(), container.devices_ids().end()});
    if (!changes.ok()) return changes.status();
    ToProto(std::move(*changes), response->add_container_responses());
  }
  return Status::Ok();
}

Status Prefer(const Resource& resource, const v1beta1::PreferredAllocationRequest& request,
              v1beta1::PreferredAllocationResponse* response) {
  for (const auto& container : request.container_requests()) {
    if (container.allocation_size() < 0) {
      return {StatusCode::kInvalidArgument,
              "allocation_size is " + std::to_string(container.allocation_size())};
    }
    PreferenceRequest preference;
    preference.available.assign(container.available_deviceids().begin(),
                                container.available_deviceids().end());
    preference.must_include.assign(container.must_include_deviceids().begin(),
                                   container.must_include_deviceids().end());
    preference.size = static_cast<size_t>(container.allocation_size());
    Result<std::vector<std::string>> ids = resource.Prefer(preference);
    if (!ids.ok()) return ids.status();
    auto* added = response->add_container_responses();
    for (std::string& id : *ids) added->add_deviceids(std::move(id));
  }
  return Status::Ok();
}

}  // namespace

class DevicePluginServer::Service final : public v1beta1::DevicePlugin::CallbackService {
 public:
  Service(std::shared_ptr<const Resource> resource, StreamsChanged streams_changed)
      : hub_(std::make_shared<StreamHub>(std::move(resource), std::move(streams_changed))) {}

  Status Serve(const std::string& path) {
    Result<std::unique_ptr<UnixServer>> server = UnixServer::Serve(path, *this);
    if (!server.ok()) return server.status();
    server_ = std::move(*server);
    return Status::Ok();
  }
  bool SocketInPlace() const { return server_->SocketInPlace(); }

  void SendAll() { hub_->SendAll(); }

  grpc::ServerUnaryReactor* GetDevicePluginOptions(grpc::CallbackServerContext* context,
                                                   const v1beta1::Empty*,
                                                   v1beta1::DevicePluginOptions* options) override {
    options->set_get_preferred_allocation_available(true);
    return Answer(context, Status::Ok());
  }

  grpc::ServerWriteReactor<v1beta1::ListAndWatchResponse>* ListAndWatch(
      grpc::CallbackServerContext*, const v1beta1::Empty*) override {
    return new DeviceStream(hub_);
  }

  grpc::ServerUnaryReactor* GetPreferredAllocation(
      grpc::CallbackServerContext* context, const v1beta1::PreferredAllocationRequest* request,
      v1beta1::PreferredAllocationResponse* response) override {
    return Answer(context, Prefer(hub_->resource(), *request, response));
  }

  grpc::ServerUnaryReactor* Allocate(grpc::CallbackServerContext* context,
                                     const v1beta1::AllocateRequest* request,
                                     v1beta1::AllocateResponse* response) override {
    return Answer(context, kubelet::Allocate(hub_->resource(), *request, response));
  }

  // Not asked for (GetDevicePluginOptions), and nothing to do.
  grpc::ServerUnaryReactor* PreStartContainer(grpc::CallbackServerContext* context,
                                              const v1beta1::PreStartContainerRequest*,
                                              v1beta1::PreStartContainerResponse*) override {
    return Answer(context, Status::Ok());
  }

 private:
  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                          const Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(status));
    return reactor;
  }

  const std::shared_ptr<StreamHub> hub_;
  std::unique_ptr<UnixServer> server_;  // last: its calls use what is above
};

DevicePluginServer::DevicePluginServer(std::unique_ptr<Service> service)
    : service_(std::move(service)) {}

DevicePluginServer::~DevicePluginServer() = default;

Result<std::unique_ptr<DevicePluginServer>> DevicePluginServer::Serve(
    const std::string& path, std::shared_ptr<const Resource> resource,
    StreamsChanged streams_changed) {
  auto service = std::make_unique<Service>(std::move(resource), std::move(streams_changed));
  if (Status served = service->Serve(path); !served.ok()) return served;
  return std::unique_ptr<DevicePluginServer>(new DevicePluginServer(std::move(service)));
}

void DevicePluginServer::DevicesChanged() { service_->SendAll(); }

bool DevicePluginServer::SocketInPlace() const { return service_->SocketInPlace(); }

}  // namespace npu_ipc::kubelet
