// What this node has for containers with an NPU, and what earlier ones still rely on.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "plugin/device/device_table.h"
#include "plugin/injection/container_changes.h"
#include "plugin/injection/device_injection.h"
#include "plugin/injection/host_files.h"
#include "plugin/injection/may_be_named.h"

namespace npu_ipc::device {

struct InjectionSettings {
  std::string mode = "mounts";  // one of injection::DeviceModeNames()
  std::string cdi_directory = "/var/run/cdi";
  // How long a version of the library stays in the store after its last use, at least.
  Duration keep_versions = std::chrono::hours(7 * 24);
  // How often the CDI spec is looked after, and what nobody can name any more is removed.
  Duration upkeep_interval = std::chrono::minutes(1);
};

// Looks at files, which Allocate must not: what it finds is handed to the resources ahead of it.
// Belongs to the loop's thread.
class NodeInjection {
 public:
  struct Places {
    injection::DriverLocation driver;
    std::string kubelet_directory;  // of the kubelet's checkpoint
    std::string library_store;
    std::string library_version;  // the directory of the store that is given to containers
  };
  struct Prepared {
    injection::DeviceMode mode = injection::DeviceMode::kMounts;
    injection::ContainerChanges common;  // for every container with an NPU
    Status status;                       // why no container can be given one now
  };

  // `changed` is called when what Prepare() would say may be another thing than before.
  NodeInjection(EventLoop& loop, const InjectionSettings& settings, Places places,
                std::function<void()> changed);
  ~NodeInjection();
  NodeInjection(const NodeInjection&) = delete;
  NodeInjection& operator=(const NodeInjection&) = delete;

  // Looks at the host anew, and makes the CDI spec say these devices where that is the mode.
  Prepared Prepare(const std::vector<SchedulableDevice>& devices);

  // The plugin stops for good and nothing that it allocated is held: leaves no CDI spec behind that
  // nobody can name.
  void Close();

 private:
  void Upkeep();
  void ScheduleUpkeep();
  Status WriteSpec();
  void RemoveStaleSpec();
  void RemoveOldVersions();
  void Report(const Status& status);  // one log line, however often it is met
  injection::MayBeNamed NamesOfPods() const;

  EventLoop& loop_;
  const InjectionSettings settings_;
  const Places places_;
  const std::function<void()> changed_;
  const injection::DeviceMode mode_;
  injection::ContainerChanges driver_;
  std::vector<injection::NpuDevice> devices_;
  Status spec_status_;
  std::string last_report_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace npu_ipc::device
