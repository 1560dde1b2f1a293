// npu-device-plugin, put together.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "hal/base/event_loop.h"
#include "plugin/device/device_monitor.h"
#include "plugin/device/node_injection.h"
#include "plugin/device/node_view.h"
#include "plugin/device/npu_resource.h"
#include "plugin/device/settings.h"
#include "plugin/injection/container_changes.h"
#include "plugin/kubelet/allocation_tracker.h"
#include "plugin/kubelet/kubelet_session.h"
#include "plugin/kubelet/pod_resources_watch.h"

namespace npu_ipc::device {

// Serves what the monitor finds, until it is destroyed. One thread, the loop's, owns all state; the
// poller's thread waits for the driver, and gRPC's threads read what NpuResource holds.
class Daemon {
 public:
  // Starts looking for devices, and installs the library and watches the kubelet's directory
  // meanwhile. Errors are of the installation and of the settings: a node without a driver or a
  // kubelet is none, but waited for.
  static Result<std::unique_ptr<Daemon>> Create(EventLoop& loop, const Settings& settings,
                                                DevicePoller::OpenDeviceManager open);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Not ok once something has failed that waiting does not mend: the loop was stopped.
  const Status& failure() const { return failure_; }
  const kubelet::KubeletSession& session() const { return *session_; }
  // Reads the settings again, puts in force what can be changed now, and looks anew at what the
  // host has for containers: the driver's files may be others too. Settings with a mistake change
  // nothing, and are logged.
  void Reload(const config::Start& start);
  // Who holds which device.
  const kubelet::AllocationTracker& allocations() const { return *allocations_; }

 private:
  Daemon(EventLoop& loop, const Settings& settings, DevicePoller::OpenDeviceManager open);

  void Apply(const Settings& settings);
  void WatchInjection();
  void RefreshInjection();
  void OnSnapshot(const Snapshot& snapshot);
  // What registration does not need, and would only hold up: the device view, what it shows beside
  // the devices, and who holds what.
  void StartTheRest();
  Status Offer(const std::shared_ptr<NpuResource>& resource);

  EventLoop& loop_;
  Settings settings_;
  Status failure_;
  EventLoop::TimerId rest_timer_ = 0;  // from the first snapshot on
  bool rest_started_ = false;
  injection::ContainerChanges library_changes_;
  std::unique_ptr<NodeInjection> injection_;
  std::map<std::string, std::shared_ptr<NpuResource>> resources_;  // by name
  const std::shared_ptr<kubelet::AllocationTracker> allocations_ =
      std::make_shared<kubelet::AllocationTracker>();
  NodeView view_;  // outlives the session too
  // From the first resource on. Outlives the session, whose calls use it.
  std::unique_ptr<kubelet::PodResourcesWatch> pod_resources_watch_;
  std::unique_ptr<kubelet::KubeletSession> session_;
  DeviceMonitor monitor_;
};

}  // namespace npu_ipc::device
