// Where the device plugin and the broker meet.
#pragma once

#include <string>

namespace npu_ipc::device_view {

// In a volume of the two daemons' pod, which no other has.
inline constexpr char kDefaultSocket[] = "/run/npu-ipc-private/device-view.sock";

// Whether a setting says that there is to be none: "off", or nothing at all.
inline bool SocketIsOff(const std::string& setting) { return setting.empty() || setting == "off"; }

}  // namespace npu_ipc::device_view
