// A resource served to the kubelet: gRPC on a socket of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "hal/base/result.h"
#include "plugin/kubelet/resource.h"

namespace npu_ipc::kubelet {

// Serves v1beta1.DevicePlugin at a path until it is destroyed: ListAndWatch streams then end, calls
// are refused and the socket is removed. Thread safe, but for the destructor.
class DevicePluginServer {
 public:
  // Called on a thread of the server's, whenever a ListAndWatch stream has opened or ended.
  using StreamsChanged = std::function<void(int open_streams)>;

  // Serves when it returns; a socket that a dead process left is replaced. kInvalidArgument when
  // the path does not fit a socket address (107 bytes); kAlreadyExists when another live process
  // serves the path (it holds <path>.lock); kUnavailable when gRPC cannot listen there.
  static Result<std::unique_ptr<DevicePluginServer>> Serve(const std::string& path,
                                                           std::shared_ptr<const Resource> resource,
                                                           StreamsChanged streams_changed);
  ~DevicePluginServer();
  DevicePluginServer(const DevicePluginServer&) = delete;
  DevicePluginServer& operator=(const DevicePluginServer&) = delete;

  // Sends the whole list, as it is by then, on every open stream.
  void DevicesChanged();

  // Whether the socket at the path is still the one that was made: the kubelet removes it when it
  // starts.
  bool SocketInPlace() const;

 private:
  class Service;
  explicit DevicePluginServer(std::unique_ptr<Service> service);

  std::unique_ptr<Service> service_;
};

}  // namespace npu_ipc::kubelet
