// A daemon's settings for a test: everything below one directory, and in a hurry.
#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>

#include "plugin/device/settings.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::device {

// Makes a library to inject too. The kubelet's directory is "dp"; no device view is served.
inline Settings SettingsBelow(const TemporaryDirectory& directory) {
  std::filesystem::create_directory(directory.Path("lib"));
  std::ofstream(directory.Path("lib/libnpu_ipc.so")) << "library";
  Settings settings;
  settings.library.source = directory.Path("lib");
  settings.library.store = directory.Path("store");
  settings.library.socket_directory = directory.Path("run");
  settings.device_view_socket = "off";
  settings.driver.host_root = directory.Path("host");
  settings.kubelet.directory = directory.Path("dp");
  settings.kubelet.last_retry = std::chrono::milliseconds(200);
  settings.pod_resources.socket = directory.Path("pod-resources.sock");
  settings.pod_resources.unsettled_interval = std::chrono::milliseconds(10);
  settings.pod_resources.interval = std::chrono::milliseconds(50);
  settings.injection.cdi_directory = directory.Path("cdi");
  settings.injection.upkeep_interval = std::chrono::milliseconds(20);
  settings.health.poll_interval = std::chrono::milliseconds(10);
  return settings;
}

}  // namespace npu_ipc::device
