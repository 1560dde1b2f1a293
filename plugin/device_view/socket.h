// Where the device plugin and the broker meet.
#pragma once

#include <string>

#include "hal/base/result.h"

namespace npu_ipc::config {
class Options;
}  // namespace npu_ipc::config

namespace npu_ipc::device_view {

// In a volume of the two daemons' pod, which no other has.
inline constexpr char kDefaultSocket[] = "/run/npu-ipc-private/device-view.sock";

// Whether a setting says that there is to be none: "off", or nothing at all.
inline bool SocketIsOff(const std::string& setting) { return setting.empty() || setting == "off"; }

// Adds deviceView.socket.
void AddSocketOption(config::Options& options, std::string* setting);

// kInvalidArgument where the setting is neither an absolute path nor "off".
Status CheckSocket(const std::string& setting);

}  // namespace npu_ipc::device_view
