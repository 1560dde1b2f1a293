#include "plugin/device_view/socket.h"

#include "plugin/config/checks.h"
#include "plugin/config/options.h"

namespace npu_ipc::device_view {
namespace {

constexpr char kKey[] = "deviceView.socket";

}  // namespace

void AddSocketOption(config::Options& options, std::string* setting) {
  options.Add(
      kKey, "where the device plugin tells the broker what it knows of the devices; 'off': nowhere",
      setting);
}

Status CheckSocket(const std::string& setting) {
  return SocketIsOff(setting) ? Status::Ok() : config::CheckAbsolutePath(kKey, setting);
}

}  // namespace npu_ipc::device_view
