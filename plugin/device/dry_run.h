// --dry-run: what the kubelet and a container would be told, told to a person.
#pragma once

#include <string>

#include "plugin/device/device_poller.h"
#include "plugin/device/settings.h"

namespace npu_ipc::device {

// Looks at the driver once and changes nothing: neither the driver, nor the host's files, nor the
// kubelet. Resources, their devices with health, NUMA node and links, and an example of a request's
// preferred devices and of Allocate's answer; as text, or as one JSON object. A driver that does
// not answer is told as "problem".
std::string DryRun(const Settings& settings, const DevicePoller::OpenDeviceManager& open,
                   bool as_json);

}  // namespace npu_ipc::device
