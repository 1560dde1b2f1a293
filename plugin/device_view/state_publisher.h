// Makes states of what the device plugin learns, one after the other.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hal/base/clock.h"
#include "plugin/device_view/device_state_source.h"

namespace npu_ipc::device_view {

// One device at one look.
struct DeviceReport {
  std::string id;
  std::string resource;
  hal::Device hardware;
  bool healthy = false;
  std::optional<hal::HealthLevel> level;
  std::vector<uint32_t> fault_codes;
  std::string reason;
  std::optional<bool> device_share;
};

// Devices that a container has.
struct HeldDevices {
  std::string resource;
  std::vector<std::string> device_ids;  // ascending
  // Empty where the kubelet has not said whose.
  std::string pod_namespace;
  std::string pod_name;
  std::string container_name;
};

// Belongs to one thread, but for DeviceStateSource, which any may use.
class StatePublisher final : public DeviceStateSource {
 public:
  static constexpr size_t kHealthHistory = 32;  // changes of one device that are kept

  using Now = std::function<WallTime()>;
  StatePublisher();
  explicit StatePublisher(Now now);

  // Of this program.
  void SetPluginVersion(const std::string& version) { next_.facts.plugin_version = version; }
  // What the driver says of itself; `answered`: just now.
  void SetDriver(const std::string& version, const std::string& problem, bool answered);
  // All devices there are.
  void SetDevices(const std::vector<DeviceReport>& reports);
  void SetUsage(std::map<std::string, hal::DeviceUsage> usage);
  void SetLinks(std::vector<Link> links);

  // All that is held. What was held before keeps its id and its time, also when it gets a name.
  // `problem`: why the kubelet does not say whose they are; "" when it does.
  void SetAllocations(const std::vector<HeldDevices>& held, const std::string& problem = "");
  // One Allocate, answered or refused.
  void AddAllocateCall(const std::string& resource, Duration took, bool refused);
  void SetRegistrations(const std::string& resource, uint64_t registrations);

  // Makes what was set since visible, if it is other than before.
  void Publish();

  std::shared_ptr<const NodeState> Current() const override;
  void SetListener(std::function<void()> changed) override;

 private:
  const Now now_;
  NodeState next_;
  uint64_t last_allocation_ = 0;

  mutable std::mutex mutex_;
  std::shared_ptr<const NodeState> current_;  // guarded by mutex_
  std::mutex listener_mutex_;
  std::function<void()> listener_;  // guarded by listener_mutex_
};

}  // namespace npu_ipc::device_view
