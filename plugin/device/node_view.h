// What this daemon knows of the node, told to whoever watches it: the DeviceView service.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "hal/base/event_loop.h"
#include "plugin/device/device_table.h"
#include "plugin/device_view/device_view_server.h"
#include "plugin/device_view/state_publisher.h"
#include "plugin/kubelet/allocation_tracker.h"
#include "plugin/kubelet/kubelet_session.h"
#include "plugin/kubelet/recorded_resource.h"

namespace npu_ipc::device {

// Belongs to the loop's thread, but for OnAllocate(). The daemon does its work without it: where it
// cannot serve, it says so once and tries again.
class NodeView {
 public:
  using ResourceName = std::function<const std::string&(hal::ChipFamily)>;

  // Serves at `socket` from the first look on; nowhere when that is off. What is referred to must
  // outlive it.
  NodeView(EventLoop& loop, std::string socket, ResourceName resource_name,
           const kubelet::AllocationTracker& allocations);
  ~NodeView();
  NodeView(const NodeView&) = delete;
  NodeView& operator=(const NodeView&) = delete;

  // After each look at the driver, or, without an observation, when one has not come back.
  void OnLook(const Snapshot& snapshot, const Observation* observation,
              const kubelet::KubeletSession& session);

  // Why no device is offered to containers, whatever its own health; ok: nothing is in the way.
  // From the next look on.
  void HoldBack(const Status& reason) { held_back_ = reason; }

  // Any thread; returns at once.
  void OnAllocate(const kubelet::AllocateCall& call);

 private:
  void TakeDevices(const Snapshot& snapshot);
  void TakeAllocations();
  void PublishSoon();
  void Serve();

  EventLoop& loop_;
  const std::string socket_;
  const ResourceName resource_name_;
  const kubelet::AllocationTracker& allocations_;
  const std::shared_ptr<NodeView*> self_;  // null for tasks that run after the destructor
  std::string driver_version_;
  std::map<uint32_t, hal::DeviceHealth> health_;  // as the driver last said, by physical id
  std::map<uint32_t, bool> device_share_;         // whether it is on, by physical id
  Status held_back_;
  device_view::StatePublisher publisher_;
  EventLoop::TimerId publish_timer_ = 0;
  std::string serve_problem_;
  std::unique_ptr<device_view::DeviceViewServer> server_;  // last: it reads the publisher
};

}  // namespace npu_ipc::device
