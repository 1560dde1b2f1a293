// What a container is given beside its own spec when a device is allocated to it: plain data, that
// the kubelet adapter turns into an AllocateResponse.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace npu_ipc::injection {

struct Mount {
  std::string container_path;
  std::string host_path;
  bool read_only = true;
  bool operator==(const Mount&) const = default;
};

struct DeviceNode {
  std::string container_path;
  std::string host_path;
  std::string permissions = "rw";  // of "r", "w" and "m"
  bool operator==(const DeviceNode&) const = default;
};

// The kubelet stores these at admission and replays them at every restart of the container, so they
// must stay true for as long as the pod lives.
struct ContainerChanges {
  std::map<std::string, std::string> environment;
  std::vector<Mount> mounts;
  std::vector<DeviceNode> device_nodes;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> cdi_devices;  // "vendor.com/class=name"
};

}  // namespace npu_ipc::injection
