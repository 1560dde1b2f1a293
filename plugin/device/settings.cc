#include "plugin/device/settings.h"

#include "plugin/config/checks.h"
#include "plugin/kubelet/resource_name.h"

namespace npu_ipc::device {

using config::CheckAbsolutePath;
using std::chrono::hours;
using std::chrono::milliseconds;

void AddOptions(config::Options& options, Settings* settings) {
  config::AddLogOptions(options, &settings->log);
  options.AddNodeName(&settings->node_name);
  options.Add("dryRun",
              "look at the driver once, print what would be advertised and an example of what a "
              "container would get, "
              "and exit; nothing is changed",
              &settings->dry_run);
  options.AddChoice("output", "how --dry-run prints it", &settings->output, {"text", "json"});
  options.Add("dcmi.library", "the driver's management library: a name or a path",
              &settings->dcmi_library);
  options.Add("resources.ascend910b", "what 910B devices are advertised as",
              &settings->resource_910b);
  options.Add("resources.ascend910c", "what the dies of 910C modules are advertised as",
              &settings->resource_910c);
  options.Add("kubelet.devicePluginDirectory",
              "where the kubelet's registration socket is, and ours", &settings->kubelet.directory);
  options.Add("kubelet.podResourcesSocket",
              "where the kubelet says which container has which device",
              &settings->pod_resources.socket);
  options.Add("kubelet.podResourcesInterval",
              "how often it is asked while nothing is expected to change",
              &settings->pod_resources.interval, milliseconds(10), hours(24));
  options.Add("health.pollInterval", "how often the driver is asked",
              &settings->health.poll_interval, milliseconds(10), hours(1));
  options.Add("health.hangTimeout",
              "devices are unhealthy when the driver has not answered for so long",
              &settings->health.hang_timeout, milliseconds(10), hours(1));
  options.Add("health.faultTable",
              "a JSON file of fault codes and what each means: ignore, degraded or unhealthy; "
              "default: the table that "
              "is built in. A code that is not in it means what the driver's level of health says",
              &settings->fault_table);
  options.Add("sharing.replicas",
              "how often each device is advertised, as <id>::<n>, for containers that share a "
              "card. They are counted, "
              "not isolated: each can use all of the card's memory and cores. Needs the driver's "
              "device-share",
              &settings->replicas, 1, 64);
  options.Add("sharing.manageDeviceShare",
              "switch the driver's device-share on where sharing.replicas needs it and the card is "
              "free; it is never "
              "switched off",
              &settings->health.sharing.manage);
  options.Add("driver.directory",
              "the driver's installation on the host; its lib64, or what it holds, is mounted",
              &settings->driver.directory);
  options.Add("driver.hostRoot", "where this process sees the host's root directory",
              &settings->driver.host_root);
  options.AddChoice("injection.mode",
                    "how containers get devices: device nodes and mounts, the environment of the "
                    "Ascend Docker Runtime, or CDI names",
                    &settings->injection.mode, injection::DeviceModeNames());
  options.Add("injection.cdiDirectory", "where the container runtime looks for CDI specs",
              &settings->injection.cdi_directory);
  options.Add("injection.keepVersions",
              "how long a version of the library that no pod can name is kept, at least",
              &settings->injection.keep_versions, hours(1), hours(10 * 365 * 24));
  injection::AddLibraryOptions(options, &settings->library);
  device_view::AddSocketOption(options, &settings->device_view_socket);
  // The others are of sockets, of names that the kubelet knows, of files that running pods rely on,
  // and of the log's format, which threads use.
  options.MarkLive({"log.level", "kubelet.podResourcesInterval", "health.pollInterval",
                    "health.hangTimeout", "health.faultTable", "sharing.replicas",
                    "sharing.manageDeviceShare", "driver.directory", "driver.hostRoot",
                    "injection.mode", "injection.keepVersions"});
}

config::Options DeclareOptions(Settings* settings) {
  config::Options options("npu-device-plugin", "Offers the node's Ascend NPUs to the kubelet.",
                          "NPU_DEVICE_PLUGIN");
  AddOptions(options, settings);
  return options;
}

Status Validate(const Settings& settings) {
  return config::FirstFailure({
      kubelet::CheckResourceName("resources.ascend910b", settings.resource_910b),
      kubelet::CheckResourceName("resources.ascend910c", settings.resource_910c),
      CheckAbsolutePath("kubelet.devicePluginDirectory", settings.kubelet.directory),
      CheckAbsolutePath("kubelet.podResourcesSocket", settings.pod_resources.socket),
      CheckAbsolutePath("driver.directory", settings.driver.directory),
      CheckAbsolutePath("driver.hostRoot", settings.driver.host_root),
      CheckAbsolutePath("injection.cdiDirectory", settings.injection.cdi_directory),
      injection::CheckLibrary(settings.library),
      device_view::CheckSocket(settings.device_view_socket),
  });
}

const std::string& ResourceName(const Settings& settings, hal::ChipFamily family) {
  return family == hal::ChipFamily::kAscend910C ? settings.resource_910c : settings.resource_910b;
}

Status Complete(Settings* settings) {
  settings->health.sharing.needed = settings->replicas > 1;
  settings->health.faults = FaultTable();
  if (settings->fault_table.empty()) return Status::Ok();
  Result<FaultTable> table = FaultTable::Read(settings->fault_table);
  if (!table.ok()) return table.status().WithContext("health.faultTable");
  settings->health.faults = std::move(*table);
  return Status::Ok();
}

Result<Settings> Reload(const config::Start& start, const Settings& in_force) {
  return config::Reload(start, in_force, DeclareOptions, [](Settings* settings) {
    const Status valid = Validate(*settings);
    return valid.ok() ? Complete(settings) : valid;
  });
}

}  // namespace npu_ipc::device
