// The node's devices as Prometheus metrics.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "plugin/device_view/device_view_client.h"

namespace npu_ipc::device_view {

// Prometheus' text format, with a HELP line for each metric; names start with npu_ipc_device. What
// is not known has no sample. Times of the view are held against `now`; nullopt: no device plugin
// is asked. `own_resources` are those that this process serves to the kubelet itself, by name:
// their samples stand beside the device plugin's, as a metric may be described once only.
std::string DeviceMetricsText(const std::optional<View>& view, TimePoint now,
                              const std::map<std::string, ResourceStatistics>& own_resources = {});

}  // namespace npu_ipc::device_view
