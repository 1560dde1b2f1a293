#include "plugin/device/daemon.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "plugin/injection/host_files.h"
#include "plugin/injection/injected_library.h"
#include "plugin/kubelet/recorded_resource.h"

namespace npu_ipc::device {
namespace {

// Of registration before everything else. A kubelet that is there has answered by then.
constexpr Duration kHeadStart = std::chrono::milliseconds(50);

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::Create(EventLoop& loop, const Settings& settings,
                                               DevicePoller::OpenDeviceManager open) {
  std::unique_ptr<Daemon> daemon(new Daemon(loop, settings, std::move(open)));
  daemon->monitor_.SetOnLook(
      [raw = daemon.get()](const Snapshot& snapshot, const Observation* observation) {
        if (raw->rest_started_) raw->view_.OnLook(snapshot, observation, *raw->session_);
      });
  daemon->monitor_.Start();  // its thread waits for the driver, this one for the disk
  Result<injection::ContainerChanges> library = injection::PrepareLibrary(settings.library);
  if (!library.ok()) return library.status();
  spdlog::info("library for containers: directory={}", library->mounts.front().host_path);
  Result<std::unique_ptr<kubelet::KubeletSession>> session =
      kubelet::KubeletSession::Create(loop, settings.kubelet);
  if (!session.ok()) return session.status();
  daemon->library_changes_ = std::move(*library);
  daemon->session_ = std::move(*session);
  daemon->WatchInjection();
  return daemon;
}

Daemon::Daemon(EventLoop& loop, const Settings& settings, DevicePoller::OpenDeviceManager open)
    : loop_(loop),
      settings_(settings),
      view_(
          loop, settings.device_view_socket,
          [this](hal::ChipFamily family) -> const std::string& {
            return ResourceName(settings_, family);
          },
          *allocations_),
      monitor_(loop, settings.health, std::move(open),
               [this](const std::shared_ptr<const Snapshot>& snapshot) { OnSnapshot(*snapshot); }) {
}

Daemon::~Daemon() {
  loop_.Cancel(rest_timer_);
  session_.reset();  // nothing is allocated any more
  if (injection_ != nullptr && failure_.ok() && allocations_->snapshot()->allocations.empty()) {
    injection_->Close();
  }
}

Status Daemon::Offer(const std::shared_ptr<NpuResource>& resource) {
  allocations_->AddResource(resource->name());
  if (pod_resources_watch_ == nullptr) {
    pod_resources_watch_ =
        std::make_unique<kubelet::PodResourcesWatch>(settings_.pod_resources, allocations_);
    if (rest_started_) pod_resources_watch_->Start();
  }
  const auto record = [this](const kubelet::AllocateCall& call) {
    if (call.status.ok()) {
      allocations_->RecordAllocate(call.resource, call.device_ids);
      pod_resources_watch_->AskSoon();
    }
    view_.OnAllocate(call);
  };
  return session_->Add(std::make_shared<kubelet::RecordedResource>(resource, record));
}

void Daemon::WatchInjection() {
  injection_ = std::make_unique<NodeInjection>(
      loop_, settings_.injection,
      NodeInjection::Places{settings_.driver, settings_.kubelet.directory, settings_.library.store,
                            library_changes_.mounts.front().host_path},
      [this] { RefreshInjection(); });
}

void Daemon::Reload(const config::Start& start) {
  const Result<Settings> next = device::Reload(start, settings_);
  if (next.ok()) {
    Apply(*next);
  } else {
    spdlog::error("the settings stay as they are: reason={}", next.status().message());
  }
  spdlog::info("looking anew at what the host has for containers");
  RefreshInjection();
}

void Daemon::Apply(const Settings& settings) {
  settings_ = settings;
  config::SetLogLevel(settings_.log);
  monitor_.Apply(settings_.health);
  if (pod_resources_watch_ != nullptr) {
    pod_resources_watch_->SetInterval(settings_.pod_resources.interval);
  }
  WatchInjection();
}

void Daemon::RefreshInjection() {
  if (monitor_.snapshot() == nullptr) return;  // the first one will look
  OnSnapshot(*monitor_.snapshot());
}

void Daemon::StartTheRest() {
  rest_started_ = true;
  monitor_.LookNow();
  if (pod_resources_watch_ != nullptr) pod_resources_watch_->Start();
}

void Daemon::OnSnapshot(const Snapshot& snapshot) {
  if (rest_timer_ == 0) rest_timer_ = loop_.RunAfter(kHeadStart, [this] { StartTheRest(); });
  // Looked at anew each time: the driver may have been installed since.
  const NodeInjection::Prepared prepared = injection_->Prepare(snapshot.devices);
  view_.HoldBack(prepared.status);
  injection::ContainerChanges base = library_changes_;
  injection::Append(base, prepared.common);

  std::map<std::string, std::vector<SchedulableDevice>> by_resource;
  for (const SchedulableDevice& device : snapshot.devices) {
    SchedulableDevice& offered =
        by_resource[ResourceName(settings_, device.hardware.family)].emplace_back(device);
    if (prepared.status.ok() || !offered.healthy) continue;
    offered.healthy = false;
    offered.reason = prepared.status.message();
  }
  for (auto& [name, devices] : by_resource) {
    std::shared_ptr<NpuResource>& resource = resources_[name];
    const bool is_new = resource == nullptr;
    if (is_new) resource = std::make_shared<NpuResource>(name);
    resource->Update({std::move(devices), snapshot.links, base,
                      static_cast<size_t>(settings_.replicas), prepared.mode});
    if (!is_new) {
      session_->DevicesChanged(name);
    } else if (Status added = Offer(resource); !added.ok()) {
      failure_ = added.WithContext(name);
      loop_.Stop();
    }
  }
}

}  // namespace npu_ipc::device
