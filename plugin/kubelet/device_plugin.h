// A resource's life with the kubelet: served, registered, and registered again whenever the kubelet
// has forgotten it.
#pragma once

#include <stdint.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "plugin/kubelet/device_plugin_server.h"
#include "plugin/kubelet/registration.h"
#include "plugin/kubelet/resource.h"

namespace npu_ipc::kubelet {

inline constexpr char kKubeletSocketName[] = "kubelet.sock";

struct KubeletSettings {
  std::string directory = "/var/lib/kubelet/device-plugins";  // of kubelet.sock and of ours
  // The kubelet dials back within Register, for up to 10 s.
  Duration registration_timeout = std::chrono::seconds(15);
  // How long to wait after a failure, doubled from the one to the other.
  Duration first_retry = std::chrono::milliseconds(100);
  Duration last_retry = std::chrono::seconds(30);
  // A kubelet that accepted a registration opens the stream of devices within this, or is
  // registered with again.
  Duration stream_timeout = std::chrono::seconds(20);
};

// Keeps one resource served at <directory>/<endpoint> and registered. What exists is compared with
// what should, on each event; there is no sequence of states to get lost in. Belongs to the loop's
// thread.
class DevicePlugin {
 public:
  // `endpoint` is the socket's file name, unique among the resources. `connection` is for the first
  // registration, where one was made ahead.
  DevicePlugin(EventLoop& loop, const KubeletSettings& settings,
               std::shared_ptr<const Resource> resource, std::string endpoint,
               std::unique_ptr<KubeletConnection> connection);
  // Ends the streams and removes the socket: the kubelet counts the devices as unhealthy from then
  // on.
  ~DevicePlugin();
  DevicePlugin(const DevicePlugin&) = delete;
  DevicePlugin& operator=(const DevicePlugin&) = delete;

  // kAlreadyExists: another process serves the socket; kInvalidArgument: its path is too long. What
  // else is in the way passes, and is tried again.
  Status Start();

  // The resource's devices are others, or are otherwise: tells the kubelet.
  void DevicesChanged();

  // From the watch on the directory.
  void OnKubeletSocketCreated();
  void OnFileRemoved(const std::string& name);
  void OnRescan();

  const Resource& resource() const { return *resource_; }
  const std::string& endpoint() const { return endpoint_; }
  // Registered, and the kubelet is listening to the stream of devices.
  bool connected() const { return registered_ && open_streams_ > 0; }
  // Safe on any thread.
  uint64_t registrations() const { return registrations_; }

 private:
  // Does what is missing: the socket, then the registration.
  Status Reconcile();
  Status Serve();
  void StopServing();
  void Register();
  void OnRegistered(uint64_t number, const Status& status);
  void OnStreams(uint64_t server_number, int open_streams);
  // The kubelet, or our socket, is another one: what was known and what was tried says nothing any
  // more.
  void Forget();
  void RetryLater();
  void CancelTimer(EventLoop::TimerId* timer);
  void Report(const std::string& problem);  // one log line, however often it is met
  std::string SocketPath() const { return settings_.directory + "/" + endpoint_; }
  std::string KubeletSocket() const { return settings_.directory + "/" + kKubeletSocketName; }

  EventLoop& loop_;
  const KubeletSettings settings_;
  const std::shared_ptr<const Resource> resource_;
  const std::string endpoint_;
  const std::shared_ptr<DevicePlugin*>
      self_;  // null for tasks that are posted before, and run after, the destructor

  std::unique_ptr<DevicePluginServer> server_;
  uint64_t server_number_ = 0;  // tells the streams of one server from those of the one before
  int open_streams_ = 0;
  TimePoint stream_opened_;
  std::unique_ptr<KubeletConnection> connection_;  // for the next registration, or null
  std::unique_ptr<Registration> registration_;     // on its way
  uint64_t registration_number_ = 0;
  bool registered_ = false;
  std::atomic<uint64_t> registrations_ = 0;
  Duration retry_delay_;
  EventLoop::TimerId retry_timer_ = 0;
  EventLoop::TimerId stream_timer_ = 0;
  std::string last_report_;
};

}  // namespace npu_ipc::kubelet
