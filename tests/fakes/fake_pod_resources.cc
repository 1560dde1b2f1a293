#include "tests/fakes/fake_pod_resources.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

#include "plugin/grpc/keep_running.h"
#include "plugin/kubelet/proto/pod_resources.grpc.pb.h"

namespace npu_ipc {

class FakePodResources::Service final : public v1::PodResourcesLister::Service {
 public:
  ~Service() override {
    if (server == nullptr) return;
    {
      const std::lock_guard lock(mutex);
      hang = false;
    }
    changed.notify_all();
    server->Shutdown(std::chrono::system_clock::now());
    server->Wait();
  }

  Status Start(const std::string& socket) {
    KeepGrpcRunning();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server = builder.BuildAndStart();
    if (server != nullptr && port != 0) return Status::Ok();
    return {StatusCode::kUnavailable, "cannot serve " + socket};
  }

  grpc::Status List(grpc::ServerContext*, const v1::ListPodResourcesRequest*,
                    v1::ListPodResourcesResponse* response) override {
    std::unique_lock lock(mutex);
    if (const grpc::Status refused = Admit(lock, &lists); !refused.ok()) return refused;
    std::map<std::pair<std::string, std::string>, v1::PodResources*> pods;
    for (const kubelet::ContainerDevices& devices : Shuffled()) {
      v1::PodResources*& pod = pods[{devices.container.pod_namespace, devices.container.pod}];
      if (pod == nullptr) pod = response->add_pod_resources();
      Fill(devices, pod);
    }
    return grpc::Status::OK;
  }

  grpc::Status Get(grpc::ServerContext*, const v1::GetPodResourcesRequest* request,
                   v1::GetPodResourcesResponse* response) override {
    std::unique_lock lock(mutex);
    if (const grpc::Status refused = Admit(lock, &gets); !refused.ok()) return refused;
    if (get_disabled) return {grpc::StatusCode::UNKNOWN, "PodResources API Get method disabled"};
    for (const kubelet::ContainerDevices& devices : Shuffled()) {
      if (devices.container.pod_namespace == request->pod_namespace() &&
          devices.container.pod == request->pod_name()) {
        Fill(devices, response->mutable_pod_resources());
      }
    }
    if (response->has_pod_resources()) return grpc::Status::OK;
    return {grpc::StatusCode::UNKNOWN, "pod " + request->pod_name() + " in namespace " +
                                           request->pod_namespace() + " not found"};
  }

  std::unique_ptr<grpc::Server> server;
  mutable std::mutex mutex;  // guards what follows
  mutable std::condition_variable changed;
  std::vector<kubelet::ContainerDevices> containers;
  bool get_disabled = false;
  bool rate_limited = false;
  bool hang = false;
  int lists = 0;
  int gets = 0;

 private:
  grpc::Status Admit(std::unique_lock<std::mutex>& lock, int* calls) {
    ++*calls;
    changed.notify_all();
    changed.wait(lock, [this] { return !hang; });
    if (!rate_limited) return grpc::Status::OK;
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "rejected by rate limit: too many requests"};
  }

  std::vector<kubelet::ContainerDevices> Shuffled() {
    std::vector<kubelet::ContainerDevices> order = containers;
    if ((lists + gets) % 2 != 0) std::reverse(order.begin(), order.end());
    return order;
  }

  static void Fill(const kubelet::ContainerDevices& devices, v1::PodResources* pod) {
    pod->set_namespace_(devices.container.pod_namespace);
    pod->set_name(devices.container.pod);
    v1::ContainerResources* container = nullptr;
    for (v1::ContainerResources& had : *pod->mutable_containers()) {
      if (had.name() == devices.container.container) container = &had;
    }
    if (container == nullptr) {
      container = pod->add_containers();
      container->set_name(devices.container.container);
    }
    for (const std::string& id : devices.device_ids) {
      v1::ContainerDevices* entry = container->add_devices();
      entry->set_resource_name(devices.resource);
      entry->add_device_ids(id);
    }
  }
};

FakePodResources::FakePodResources(std::unique_ptr<Service> service)
    : service_(std::move(service)) {}
FakePodResources::~FakePodResources() = default;

Result<std::unique_ptr<FakePodResources>> FakePodResources::Start(const std::string& socket) {
  auto service = std::make_unique<Service>();
  if (Status started = service->Start(socket); !started.ok()) return started;
  return std::unique_ptr<FakePodResources>(new FakePodResources(std::move(service)));
}

void FakePodResources::Set(std::vector<kubelet::ContainerDevices> containers) {
  const std::lock_guard lock(service_->mutex);
  service_->containers = std::move(containers);
}

void FakePodResources::DisableGet() {
  const std::lock_guard lock(service_->mutex);
  service_->get_disabled = true;
}

void FakePodResources::LimitRate(bool limit) {
  const std::lock_guard lock(service_->mutex);
  service_->rate_limited = limit;
}

void FakePodResources::Hang(bool hang) {
  {
    const std::lock_guard lock(service_->mutex);
    service_->hang = hang;
  }
  service_->changed.notify_all();
}

int FakePodResources::lists() const {
  const std::lock_guard lock(service_->mutex);
  return service_->lists;
}

int FakePodResources::gets() const {
  const std::lock_guard lock(service_->mutex);
  return service_->gets;
}

Status FakePodResources::WaitForLists(int count, Duration timeout) const {
  std::unique_lock lock(service_->mutex);
  if (service_->changed.wait_for(lock, timeout, [&] { return service_->lists >= count; })) {
    return Status::Ok();
  }
  return {StatusCode::kDeadlineExceeded, "List calls: " + std::to_string(service_->lists)};
}

}  // namespace npu_ipc
