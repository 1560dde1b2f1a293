// All resources of this daemon and the kubelet's directory that their sockets are in.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "plugin/kubelet/device_plugin.h"
#include "plugin/kubelet/directory_watch.h"

namespace npu_ipc::kubelet {

// Belongs to the loop's thread.
class KubeletSession {
 public:
  // Watches the directory, which may be missing yet, and connects to a kubelet that is there, ahead
  // of the first resource. Errors are DirectoryWatch's.
  static Result<std::unique_ptr<KubeletSession>> Create(EventLoop& loop,
                                                        const KubeletSettings& settings);
  KubeletSession(const KubeletSession&) = delete;
  KubeletSession& operator=(const KubeletSession&) = delete;

  // Serves the resource from now on. Errors are DevicePlugin::Start's; kAlreadyExists also where it
  // was added before.
  Status Add(std::shared_ptr<const Resource> resource);
  // There is no resource to come soon.
  void CloseUnusedConnection() { connection_.reset(); }
  // The devices of a resource that was added are others, or are otherwise.
  void DevicesChanged(const std::string& resource_name);

  const std::vector<std::unique_ptr<DevicePlugin>>& plugins() const { return plugins_; }

 private:
  KubeletSession(EventLoop& loop, const KubeletSettings& settings)
      : loop_(loop), settings_(settings) {}

  EventLoop& loop_;
  const KubeletSettings settings_;
  std::unique_ptr<DirectoryWatch> watch_;
  std::unique_ptr<KubeletConnection> connection_;
  std::vector<std::unique_ptr<DevicePlugin>> plugins_;
};

}  // namespace npu_ipc::kubelet
