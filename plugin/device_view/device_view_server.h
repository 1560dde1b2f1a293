// The DeviceView service: a DeviceStateSource over gRPC on a local socket.
#pragma once

#include <stdint.h>

#include <memory>
#include <string>

#include "hal/base/result.h"
#include "plugin/device_view/device_state_source.h"

namespace npu_ipc::device_view {

// Serves npu.ipc.v1.DeviceView at a path until it is destroyed: watches then end and the socket is
// removed. Only its owner may connect (mode 0600).
class DeviceViewServer {
 public:
  static constexpr size_t kMaxWatchers = 16;  // at once; more are refused

  // Serves when it returns. A socket that a dead process left is replaced, and the directory is
  // made (0700) where it is missing. `source` must outlive the server, which is its listener.
  // kInvalidArgument when the path does not fit a socket address (107 bytes); kAlreadyExists when
  // another live process serves the path; kUnavailable when gRPC cannot listen there; otherwise
  // what the kernel says of the directory.
  static Result<std::unique_ptr<DeviceViewServer>> Serve(const std::string& path,
                                                         DeviceStateSource& source);
  ~DeviceViewServer();
  DeviceViewServer(const DeviceViewServer&) = delete;
  DeviceViewServer& operator=(const DeviceViewServer&) = delete;

  // Whether the socket at the path is still the one that was made.
  bool SocketInPlace() const;

 private:
  class Service;
  explicit DeviceViewServer(std::unique_ptr<Service> service);

  std::unique_ptr<Service> service_;
};

}  // namespace npu_ipc::device_view
