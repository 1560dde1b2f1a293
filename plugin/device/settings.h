// Every setting of npu-device-plugin.
#pragma once

#include <string>

#include "plugin/config/logging.h"
#include "plugin/config/options.h"
#include "plugin/config/reload.h"
#include "plugin/device/device_monitor.h"
#include "plugin/device/node_injection.h"
#include "plugin/device_view/socket.h"
#include "plugin/injection/host_files.h"
#include "plugin/injection/injected_library.h"
#include "plugin/kubelet/device_plugin.h"
#include "plugin/kubelet/pod_resources_watch.h"

namespace npu_ipc::device {

struct Settings {
  std::string node_name;  // chooses the section of the config file
  config::LogSettings log;
  bool dry_run = false;         // print what would be offered, and exit
  std::string output = "text";  // of that: or json
  std::string dcmi_library = "libdcmi.so";
  std::string resource_910b = "huawei.com/Ascend910B";
  std::string resource_910c = "huawei.com/Ascend910C";
  kubelet::KubeletSettings kubelet;
  kubelet::PodResourcesSettings pod_resources;
  MonitorSettings health;
  int64_t replicas = 1;     // how often each device is advertised
  std::string fault_table;  // a file; "": the table that is built in
  injection::DriverLocation driver;
  InjectionSettings injection;
  injection::InjectedLibrary library;
  std::string device_view_socket = device_view::kDefaultSocket;
};

// Declares them all, and which can be changed while the daemon runs; `settings` must outlive
// `options`.
void AddOptions(config::Options& options, Settings* settings);
// The same, of the program's own name.
config::Options DeclareOptions(Settings* settings);

// What Options cannot see by itself. kInvalidArgument names the key.
Status Validate(const Settings& settings);

// What devices of a family are advertised as.
const std::string& ResourceName(const Settings& settings, hal::ChipFamily family);

// Fills in what follows from the settings: reads the fault table. The error names the key.
Status Complete(Settings* settings);

// What SIGHUP does: reads the settings again, as config::Reload() does.
Result<Settings> Reload(const config::Start& start, const Settings& in_force);

}  // namespace npu_ipc::device
