#include "plugin/injection/device_injection.h"

#include <array>
#include <map>
#include <utility>

#include "plugin/injection/cdi_spec.h"

namespace npu_ipc::injection {
namespace {

constexpr std::array<std::pair<std::string_view, DeviceMode>, 3> kModes = {{
    {"mounts", DeviceMode::kMounts},
    {"ascend-runtime", DeviceMode::kAscendRuntime},
    {"cdi", DeviceMode::kCdi},
}};

// The Ascend Docker Runtime takes physical ids (mind-cluster: ascend-device-plugin, Allocate), and
// containers number their devices in ascending order of them.
std::string PhysicalIds(const std::map<uint32_t, const NpuDevice*>& devices) {
  std::string ids;
  for (const auto& [physical_id, device] : devices) {
    ids += (ids.empty() ? "" : ",") + std::to_string(physical_id);
  }
  return ids;
}

}  // namespace

std::vector<std::string> DeviceModeNames() {
  std::vector<std::string> names;
  names.reserve(std::size(kModes));
  for (const auto& [name, mode] : kModes) names.emplace_back(name);
  return names;
}

Result<DeviceMode> ParseDeviceMode(std::string_view name) {
  for (const auto& [known, mode] : kModes) {
    if (known == name) return mode;
  }
  return Status(StatusCode::kInvalidArgument,
                "'" + std::string(name) + "' is no mode; mounts, ascend-runtime and cdi are");
}

ContainerChanges CommonChanges(DeviceMode mode, const ContainerChanges& driver) {
  return mode == DeviceMode::kMounts ? driver : ContainerChanges();
}

ContainerChanges DeviceChanges(DeviceMode mode, const std::vector<NpuDevice>& devices) {
  std::map<uint32_t, const NpuDevice*> by_id;
  for (const NpuDevice& device : devices) by_id.emplace(device.physical_id, &device);
  ContainerChanges changes;
  if (mode == DeviceMode::kAscendRuntime) {
    changes.environment["ASCEND_VISIBLE_DEVICES"] = PhysicalIds(by_id);
    // Neither NODRV nor VIRTUAL: whole devices, with the driver. Set, so that an image's own value
    // does not stand.
    changes.environment["ASCEND_RUNTIME_OPTIONS"] = "";
    return changes;
  }
  for (const auto& [physical_id, device] : by_id) {
    if (mode == DeviceMode::kCdi) {
      changes.cdi_devices.push_back(QualifiedCdiName(device->name));
    } else {
      changes.device_nodes.push_back({device->device_node, device->device_node});
    }
  }
  return changes;
}

}  // namespace npu_ipc::injection
