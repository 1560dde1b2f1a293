// Where the DeviceView service takes the node's state from: no gRPC, no threads of its own.
#pragma once

#include <functional>
#include <memory>

#include "plugin/device_view/node_state.h"

namespace npu_ipc::device_view {

// Safe for concurrent use.
class DeviceStateSource {
 public:
  virtual ~DeviceStateSource() = default;

  // Never null, never changed once given out.
  virtual std::shared_ptr<const NodeState> Current() const = 0;

  // Calls `changed` after each change of the state, on the thread that changed it: it must not
  // block, nor call back into the source but for Current(). One listener at a time; an empty
  // function takes it off, and when that returns no call is under way.
  virtual void SetListener(std::function<void()> changed) = 0;
};

}  // namespace npu_ipc::device_view
