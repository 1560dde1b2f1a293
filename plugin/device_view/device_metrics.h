// The node's devices as Prometheus metrics.
#pragma once

#include <string>

#include "plugin/device_view/device_view_client.h"

namespace npu_ipc::device_view {

// Prometheus' text format, with a HELP line for each metric; names start with npu_ipc_device. What
// is not known has no sample. Times of the view are held against `now`.
std::string DeviceMetricsText(const View& view, TimePoint now);

}  // namespace npu_ipc::device_view
