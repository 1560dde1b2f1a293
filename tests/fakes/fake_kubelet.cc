#include "tests/fakes/fake_kubelet.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "plugin/grpc/keep_running.h"
#include "plugin/kubelet/proto/device_plugin.grpc.pb.h"

namespace npu_ipc {
namespace {

// The kubelet's own bounds on dialling a plugin and on its answers (pkg/kubelet/cm/devicemanager).
constexpr std::chrono::seconds kDialTimeout{10};

std::shared_ptr<grpc::Channel> Dial(const std::string& path) {
  KeepGrpcRunning();
  grpc::ChannelArguments arguments;
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // no back-off from an earlier socket
  return grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments);
}

Status FromGrpc(const grpc::Status& status, const std::string& what) {
  if (status.ok()) return Status::Ok();
  StatusCode code = StatusCode::kInternal;
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
      code = StatusCode::kInvalidArgument;
      break;
    case grpc::StatusCode::NOT_FOUND:
      code = StatusCode::kNotFound;
      break;
    case grpc::StatusCode::FAILED_PRECONDITION:
      code = StatusCode::kFailedPrecondition;
      break;
    case grpc::StatusCode::UNAVAILABLE:
      code = StatusCode::kUnavailable;
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      code = StatusCode::kDeadlineExceeded;
      break;
    default:
      break;
  }
  return {code, what + ": " + status.error_message()};
}

void RemoveSockets(const std::string& directory) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.is_socket(ignored)) std::filesystem::remove(entry.path(), ignored);
  }
}

injection::ContainerChanges FromProto(const v1beta1::ContainerAllocateResponse& response) {
  injection::ContainerChanges changes;
  changes.environment.insert(response.envs().begin(), response.envs().end());
  changes.annotations.insert(response.annotations().begin(), response.annotations().end());
  for (const auto& mount : response.mounts()) {
    changes.mounts.push_back({mount.container_path(), mount.host_path(), mount.read_only()});
  }
  for (const auto& device : response.devices()) {
    changes.device_nodes.push_back(
        {device.container_path(), device.host_path(), device.permissions()});
  }
  for (const auto& device : response.cdi_devices()) changes.cdi_devices.push_back(device.name());
  return changes;
}

}  // namespace

class FakeKubelet::Core final : public v1beta1::Registration::Service {
 public:
  explicit Core(std::string directory) : directory_(std::move(directory)) {}
  ~Core() override { Stop(); }

  Status Start();
  void Stop();

  grpc::Status Register(grpc::ServerContext* context, const v1beta1::RegisterRequest* request,
                        v1beta1::Empty* response) override;

  // What the kubelet knows of one registered resource. Shared with the thread that follows it.
  struct Endpoint {
    Registration registration;
    std::unique_ptr<v1beta1::DevicePlugin::Stub> stub;
    grpc::ClientContext stream_context;
    DeviceList devices;  // guarded by Core::mutex
  };
  std::shared_ptr<Endpoint> Find(const std::string& resource_name) const;

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::map<std::string, std::shared_ptr<Endpoint>> endpoints;
  std::vector<Registration> registrations;
  int register_calls = 0;
  std::string refusal;
  bool hang = false;
  std::function<void(const Registration&)> on_registration;

 private:
  std::string SocketPath() const { return directory_ + "/kubelet.sock"; }
  void Follow(const std::shared_ptr<Endpoint>& endpoint);

  const std::string directory_;
  std::unique_ptr<grpc::Server> server_;
  bool stopping_ = false;               // guarded by mutex
  std::vector<std::thread> followers_;  // guarded by mutex
};

Status FakeKubelet::Core::Start() {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  RemoveSockets(directory_);
  KeepGrpcRunning();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("unix:" + SocketPath(), grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return {StatusCode::kUnavailable, "cannot serve " + SocketPath()};
  }
  return Status::Ok();
}

void FakeKubelet::Core::Stop() {
  std::vector<std::thread> followers;
  {
    const std::lock_guard lock(mutex);
    stopping_ = true;
    for (const auto& [name, endpoint] : endpoints) endpoint->stream_context.TryCancel();
    followers.swap(followers_);
  }
  changed.notify_all();
  if (server_ != nullptr) {
    // gRPC removes its socket when it stops; a kubelet that dies leaves it.
    const std::string kept = SocketPath() + ".kept";
    const bool linked = ::link(SocketPath().c_str(), kept.c_str()) == 0;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    if (linked) ::rename(kept.c_str(), SocketPath().c_str());
  }
  for (std::thread& follower : followers) follower.join();
}

std::shared_ptr<FakeKubelet::Core::Endpoint> FakeKubelet::Core::Find(
    const std::string& resource_name) const {
  const std::lock_guard lock(mutex);
  const auto found = endpoints.find(resource_name);
  return found == endpoints.end() ? nullptr : found->second;
}

grpc::Status FakeKubelet::Core::Register(grpc::ServerContext*,
                                         const v1beta1::RegisterRequest* request, v1beta1::Empty*) {
  {
    std::unique_lock lock(mutex);
    ++register_calls;
    changed.notify_all();
    changed.wait(lock, [this] { return !hang || stopping_; });
    if (!refusal.empty()) return {grpc::StatusCode::UNKNOWN, refusal};
  }
  if (request->version() != "v1beta1") {
    return {grpc::StatusCode::UNKNOWN, "unsupported version " + request->version()};
  }
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->registration.resource_name = request->resource_name();
  endpoint->registration.endpoint = request->endpoint();
  endpoint->registration.version = request->version();
  endpoint->stub = v1beta1::DevicePlugin::NewStub(Dial(directory_ + "/" + request->endpoint()));

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDialTimeout);
  v1beta1::DevicePluginOptions options;
  const grpc::Status dialled =
      endpoint->stub->GetDevicePluginOptions(&context, v1beta1::Empty(), &options);
  if (!dialled.ok()) {
    return {grpc::StatusCode::UNKNOWN,
            "failed to dial " + request->endpoint() + ": " + dialled.error_message()};
  }
  endpoint->registration.preferred_allocation_available =
      options.get_preferred_allocation_available();
  endpoint->registration.pre_start_required = options.pre_start_required();

  std::function<void(const Registration&)> callback;
  {
    const std::lock_guard lock(mutex);
    if (stopping_) return {grpc::StatusCode::UNAVAILABLE, "the kubelet is stopping"};
    auto& slot = endpoints[request->resource_name()];
    if (slot != nullptr) slot->stream_context.TryCancel();
    slot = endpoint;
    registrations.push_back(endpoint->registration);
    followers_.emplace_back([this, endpoint] { Follow(endpoint); });
    callback = on_registration;
  }
  changed.notify_all();
  if (callback) callback(endpoint->registration);
  return grpc::Status::OK;
}

void FakeKubelet::Core::Follow(const std::shared_ptr<Endpoint>& endpoint) {
  const auto stream = endpoint->stub->ListAndWatch(&endpoint->stream_context, v1beta1::Empty());
  v1beta1::ListAndWatchResponse response;
  while (stream->Read(&response)) {
    DeviceList devices;
    for (const auto& device : response.devices()) {
      Device& added = devices.emplace_back();
      added.id = device.id();
      added.healthy = device.health() == "Healthy";
      for (const auto& node : device.topology().nodes()) added.numa_nodes.push_back(node.id());
    }
    {
      const std::lock_guard lock(mutex);
      endpoint->devices = std::move(devices);
    }
    changed.notify_all();
  }
  static_cast<void>(stream->Finish());
  {
    const std::lock_guard lock(mutex);
    for (Device& device : endpoint->devices) device.healthy = false;
  }
  changed.notify_all();
}

Result<std::unique_ptr<FakeKubelet>> FakeKubelet::Start(const std::string& directory) {
  auto core = std::make_shared<Core>(directory);
  if (Status status = core->Start(); !status.ok()) return status;
  return std::unique_ptr<FakeKubelet>(new FakeKubelet(std::move(core)));
}

FakeKubelet::~FakeKubelet() = default;

std::vector<FakeKubelet::Registration> FakeKubelet::Registrations() const {
  const std::lock_guard lock(core_->mutex);
  return core_->registrations;
}

int FakeKubelet::RegisterCalls() const {
  const std::lock_guard lock(core_->mutex);
  return core_->register_calls;
}

void FakeKubelet::RefuseRegistrations(const std::string& message) {
  const std::lock_guard lock(core_->mutex);
  core_->refusal = message;
}

void FakeKubelet::HangRegistrations(bool hang) {
  {
    const std::lock_guard lock(core_->mutex);
    core_->hang = hang;
  }
  core_->changed.notify_all();
}

void FakeKubelet::OnRegistration(std::function<void(const Registration&)> callback) {
  const std::lock_guard lock(core_->mutex);
  core_->on_registration = std::move(callback);
}

void FakeKubelet::EndStream(const std::string& resource_name) {
  if (const auto endpoint = core_->Find(resource_name)) endpoint->stream_context.TryCancel();
}

FakeKubelet::DeviceList FakeKubelet::Devices(const std::string& resource_name) const {
  const std::lock_guard lock(core_->mutex);
  const auto found = core_->endpoints.find(resource_name);
  return found == core_->endpoints.end() ? DeviceList() : found->second->devices;
}

Status FakeKubelet::WaitForDevices(const std::string& resource_name,
                                   const std::function<bool(const DeviceList&)>& accept,
                                   Duration timeout) const {
  std::unique_lock lock(core_->mutex);
  DeviceList last;
  const bool accepted = core_->changed.wait_for(lock, timeout, [&] {
    const auto found = core_->endpoints.find(resource_name);
    last = found == core_->endpoints.end() ? DeviceList() : found->second->devices;
    return accept(last);
  });
  if (accepted) return Status::Ok();
  std::string seen;
  for (const Device& device : last) {
    seen += " " + device.id + (device.healthy ? "(healthy)" : "(unhealthy)");
  }
  return {StatusCode::kDeadlineExceeded,
          "the devices of " + resource_name + " are:" + (seen.empty() ? " none" : seen)};
}

Status FakeKubelet::WaitForHealthyDevices(const std::string& resource_name, size_t count,
                                          Duration timeout) const {
  return WaitForDevices(
      resource_name,
      [count](const DeviceList& devices) {
        size_t healthy = 0;
        for (const Device& device : devices) healthy += device.healthy ? 1 : 0;
        return healthy == count;
      },
      timeout);
}

Status FakeKubelet::WaitForRegistrations(size_t count, Duration timeout) const {
  std::unique_lock lock(core_->mutex);
  if (core_->changed.wait_for(lock, timeout,
                              [&] { return core_->registrations.size() >= count; })) {
    return Status::Ok();
  }
  return {StatusCode::kDeadlineExceeded,
          "registrations: " + std::to_string(core_->registrations.size())};
}

Result<injection::ContainerChanges> FakeKubelet::Allocate(const std::string& resource_name,
                                                          const std::vector<std::string>& ids) {
  const auto endpoint = core_->Find(resource_name);
  if (endpoint == nullptr) return Status(StatusCode::kNotFound, resource_name + " has no plugin");
  v1beta1::AllocateRequest request;
  request.add_container_requests()->mutable_devices_ids()->Add(ids.begin(), ids.end());
  v1beta1::AllocateResponse response;
  grpc::ClientContext context;
  const grpc::Status status = endpoint->stub->Allocate(&context, request, &response);
  if (!status.ok()) return FromGrpc(status, "Allocate of " + resource_name);
  if (response.container_responses_size() != 1) {
    return Status(StatusCode::kInternal, "Allocate answered for " +
                                             std::to_string(response.container_responses_size()) +
                                             " containers, not 1");
  }
  return FromProto(response.container_responses(0));
}

Result<std::vector<std::string>> FakeKubelet::GetPreferredAllocation(
    const std::string& resource_name, const std::vector<std::string>& available,
    const std::vector<std::string>& must_include, int32_t size) {
  const auto endpoint = core_->Find(resource_name);
  if (endpoint == nullptr) return Status(StatusCode::kNotFound, resource_name + " has no plugin");
  v1beta1::PreferredAllocationRequest request;
  auto* container = request.add_container_requests();
  container->mutable_available_deviceids()->Add(available.begin(), available.end());
  container->mutable_must_include_deviceids()->Add(must_include.begin(), must_include.end());
  container->set_allocation_size(size);
  v1beta1::PreferredAllocationResponse response;
  grpc::ClientContext context;
  const grpc::Status status = endpoint->stub->GetPreferredAllocation(&context, request, &response);
  if (!status.ok()) return FromGrpc(status, "GetPreferredAllocation of " + resource_name);
  if (response.container_responses_size() != 1) {
    return Status(StatusCode::kInternal, "GetPreferredAllocation did not answer for 1 container");
  }
  const auto& preferred = response.container_responses(0).deviceids();
  return std::vector<std::string>(preferred.begin(), preferred.end());
}

Status FakeKubelet::PreStartContainer(const std::string& resource_name,
                                      const std::vector<std::string>& ids) {
  const auto endpoint = core_->Find(resource_name);
  if (endpoint == nullptr) return {StatusCode::kNotFound, resource_name + " has no plugin"};
  v1beta1::PreStartContainerRequest request;
  request.mutable_devices_ids()->Add(ids.begin(), ids.end());
  v1beta1::PreStartContainerResponse response;
  grpc::ClientContext context;
  return FromGrpc(endpoint->stub->PreStartContainer(&context, request, &response),
                  "PreStartContainer of " + resource_name);
}

}  // namespace npu_ipc
