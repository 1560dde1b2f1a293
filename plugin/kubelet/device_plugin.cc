#include "plugin/kubelet/device_plugin.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace npu_ipc::kubelet {
namespace {

// A stream that lasted this long was a working one: the next failure is not part of a series.
constexpr Duration kWorkingStream = std::chrono::seconds(10);

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

DevicePlugin::DevicePlugin(EventLoop& loop, const KubeletSettings& settings,
                           std::shared_ptr<const Resource> resource, std::string endpoint,
                           std::unique_ptr<KubeletConnection> connection)
    : loop_(loop),
      settings_(settings),
      resource_(std::move(resource)),
      endpoint_(std::move(endpoint)),
      self_(std::make_shared<DevicePlugin*>(this)),
      connection_(std::move(connection)),
      retry_delay_(settings.first_retry) {}

DevicePlugin::~DevicePlugin() {
  *self_ = nullptr;
  CancelTimer(&retry_timer_);
  CancelTimer(&stream_timer_);
}

Status DevicePlugin::Start() {
  Status status = Reconcile();
  const bool fatal =
      status.code() == StatusCode::kAlreadyExists || status.code() == StatusCode::kInvalidArgument;
  return fatal ? status : Status::Ok();
}

void DevicePlugin::DevicesChanged() {
  if (server_ != nullptr) server_->DevicesChanged();
}

void DevicePlugin::OnKubeletSocketCreated() {
  Forget();
  static_cast<void>(Reconcile());
}

void DevicePlugin::OnFileRemoved(const std::string& name) {
  if (name != endpoint_ || server_ == nullptr || server_->SocketInPlace()) return;
  spdlog::info("socket was removed, serving again: resource={} socket={}", resource_->name(),
               SocketPath());
  Forget();
  static_cast<void>(Reconcile());
}

void DevicePlugin::OnRescan() { OnKubeletSocketCreated(); }

void DevicePlugin::Forget() {
  registered_ = false;
  connection_.reset();
  registration_.reset();
  CancelTimer(&retry_timer_);
  CancelTimer(&stream_timer_);
  retry_delay_ = settings_.first_retry;
}

Status DevicePlugin::Reconcile() {
  if (!Exists(settings_.directory)) {
    Report(settings_.directory + " does not exist; waiting for it");
    StopServing();
    return Status::Ok();
  }
  if (server_ == nullptr || !server_->SocketInPlace()) {
    if (Status served = Serve(); !served.ok()) {
      Report(served.message());
      RetryLater();
      return served;
    }
  }
  if (registered_ || registration_ != nullptr || retry_timer_ != 0) return Status::Ok();
  if (Exists(KubeletSocket())) {
    Register();
  } else {
    Report(KubeletSocket() + " does not exist; waiting for the kubelet");
  }
  return Status::Ok();
}

void DevicePlugin::StopServing() {
  ++server_number_;
  open_streams_ = 0;
  registered_ = false;
  registration_.reset();
  server_.reset();
}

Status DevicePlugin::Serve() {
  StopServing();
  auto on_streams = [&loop = loop_, self = self_, number = server_number_](int open_streams) {
    loop.Post([self, number, open_streams] {
      if (*self != nullptr) (*self)->OnStreams(number, open_streams);
    });
  };
  Result<std::unique_ptr<DevicePluginServer>> server =
      DevicePluginServer::Serve(SocketPath(), resource_, std::move(on_streams));
  if (!server.ok()) return server.status();
  server_ = std::move(*server);
  return Status::Ok();
}

void DevicePlugin::Register() {
  // A late answer to a call that was given up must not be taken for the answer to its successor.
  const uint64_t number = ++registration_number_;
  registration_ = Registration::Start(
      {KubeletSocket(), endpoint_, resource_->name()}, settings_.registration_timeout,
      [&loop = loop_, self = self_, number](const Status& status) {
        loop.Post([self, number, status] {
          if (*self != nullptr) (*self)->OnRegistered(number, status);
        });
      },
      std::move(connection_));
}

void DevicePlugin::OnRegistered(uint64_t number, const Status& status) {
  if (registration_ == nullptr || number != registration_number_) return;
  registration_.reset();
  if (!status.ok()) {
    Report(status.message());
    RetryLater();
    return;
  }
  registered_ = true;
  ++registrations_;
  last_report_.clear();
  spdlog::info("registered with the kubelet: resource={} devices={} socket={}", resource_->name(),
               resource_->Devices().size(), SocketPath());
  if (open_streams_ > 0) return;
  stream_timer_ = loop_.RunAfter(settings_.stream_timeout, [this] {
    stream_timer_ = 0;
    registered_ = false;
    Report("the kubelet accepted the registration, but does not ask for the devices");
    RetryLater();
  });
}

void DevicePlugin::OnStreams(uint64_t server_number, int open_streams) {
  if (server_number != server_number_) return;
  const bool ended = open_streams_ > 0 && open_streams == 0;
  if (open_streams_ == 0 && open_streams > 0) {
    CancelTimer(&stream_timer_);
    stream_opened_ = loop_.clock().Now();
  }
  open_streams_ = open_streams;
  if (!ended) return;
  if (loop_.clock().Now() - stream_opened_ >= kWorkingStream) retry_delay_ = settings_.first_retry;
  // The kubelet does not ask again by itself: to it the plugin has stopped
  // (kubernetes/kubernetes#92958).
  registered_ = false;
  Report("the kubelet ended the stream of devices");
  RetryLater();
}

void DevicePlugin::RetryLater() {
  if (retry_timer_ != 0) return;
  retry_timer_ = loop_.RunAfter(retry_delay_, [this] {
    retry_timer_ = 0;
    static_cast<void>(Reconcile());
  });
  retry_delay_ = std::min(2 * retry_delay_, settings_.last_retry);
}

void DevicePlugin::CancelTimer(EventLoop::TimerId* timer) {
  if (*timer != 0) loop_.Cancel(std::exchange(*timer, 0));
}

void DevicePlugin::Report(const std::string& problem) {
  if (problem == last_report_) return;
  last_report_ = problem;
  spdlog::warn("not registered: resource={} reason={}", resource_->name(), problem);
}

}  // namespace npu_ipc::kubelet
