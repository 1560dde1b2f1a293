#include "plugin/injection/host_files.h"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace npu_ipc::injection {
namespace {

// The nodes that processes share (mind-cluster: ascend-device-plugin, Allocate without the Ascend
// Docker Runtime).
constexpr std::array kSharedNodes = {"/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc",
                                     "/dev/dvpp_cmdlist"};

// Beside the driver's directory (hiascend: "mounting the driver into a container"; Ascend Docker
// Runtime: base.list).
constexpr std::array kHostFiles = {"/usr/local/dcmi", "/usr/local/bin/npu-smi",
                                   "/usr/local/sbin/npu-smi", "/etc/ascend_install.info",
                                   "/etc/hccn.conf"};

// In the driver's directory.
constexpr std::array kDriverFiles = {"/lib64", "/tools", "/version.info"};

class HostView {
 public:
  explicit HostView(const std::string& root) : root_(root == "/" ? "" : root) {}
  bool Has(const std::string& path) const { return ::access((root_ + path).c_str(), F_OK) == 0; }

 private:
  std::string root_;
};

std::string WithoutTrailingSlashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

ContainerChanges DriverChanges(const DriverLocation& location) {
  const HostView host(WithoutTrailingSlashes(location.host_root));
  const std::string driver = WithoutTrailingSlashes(location.directory);
  const std::string container_driver = kContainerDriverDirectory;
  ContainerChanges changes;
  for (const char* file : kDriverFiles) {
    if (host.Has(driver + file)) changes.mounts.push_back({container_driver + file, driver + file});
  }
  if (!host.Has(driver + "/lib64") && host.Has(driver)) {
    changes.mounts.push_back({container_driver + "/lib64", driver});
  }
  for (const char* file : kHostFiles) {
    if (host.Has(file)) changes.mounts.push_back({file, file});
  }
  for (const char* node : kSharedNodes) {
    if (host.Has(node)) changes.device_nodes.push_back({node, node});
  }
  return changes;
}

ContainerChanges LibraryChanges(const std::string& library_directory,
                                const std::string& socket_directory) {
  ContainerChanges changes;
  changes.mounts.push_back({kContainerLibraryDirectory, library_directory});
  changes.mounts.push_back({kContainerSocketDirectory, socket_directory});
  changes.environment["NPU_IPC_LIBRARY"] =
      std::string(kContainerLibraryDirectory) + "/libnpu_ipc.so";
  changes.environment["NPU_IPC_SOCKET"] = std::string(kContainerSocketDirectory) + "/broker.sock";
  return changes;
}

void Append(ContainerChanges& changes, const ContainerChanges& more) {
  const auto same_path = [](const auto& a, const auto& b) {
    return a.container_path == b.container_path;
  };
  const auto append = [&](auto& to, const auto& from) {
    for (const auto& added : from) {
      const bool taken =
          std::any_of(to.begin(), to.end(), [&](const auto& had) { return same_path(had, added); });
      if (!taken) to.push_back(added);
    }
  };
  append(changes.mounts, more.mounts);
  append(changes.device_nodes, more.device_nodes);
  changes.environment.insert(more.environment.begin(), more.environment.end());
  changes.annotations.insert(more.annotations.begin(), more.annotations.end());
  for (const std::string& device : more.cdi_devices) {
    const auto end = changes.cdi_devices.end();
    if (std::find(changes.cdi_devices.begin(), end, device) == end)
      changes.cdi_devices.push_back(device);
  }
}

}  // namespace npu_ipc::injection
