// The three ways in which a container is given its NPUs.
#pragma once

#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"
#include "plugin/injection/container_changes.h"

namespace npu_ipc::injection {

enum class DeviceMode {
  kMounts,  // device nodes and the driver's files, through the kubelet: needs nothing of the node
  kAscendRuntime,  // environment for the Ascend Docker Runtime, which adds the rest itself
  kCdi,  // names of the CDI spec that this plugin writes; the container runtime adds the rest
};

// "mounts", "ascend-runtime" and "cdi": what the setting injection.mode accepts.
std::vector<std::string> DeviceModeNames();
// kInvalidArgument for anything else.
Result<DeviceMode> ParseDeviceMode(std::string_view name);

struct NpuDevice {
  std::string name;  // "npu-3": what it is called in the CDI spec
  uint32_t physical_id = 0;
  std::string device_node;  // "/dev/davinci3"
};

// What every container with an NPU is given beside its devices. `driver` is what DriverChanges saw.
ContainerChanges CommonChanges(DeviceMode mode, const ContainerChanges& driver);

// What a container that has these devices is given for them; a device that is named twice (two
// replicas of one card) counts once. Pure: looks at no file.
ContainerChanges DeviceChanges(DeviceMode mode, const std::vector<NpuDevice>& devices);

}  // namespace npu_ipc::injection
