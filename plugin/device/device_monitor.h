// The node's devices as they change: asks the poller, judges, and tells.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "hal/base/event_loop.h"
#include "plugin/device/device_poller.h"
#include "plugin/device/device_table.h"

namespace npu_ipc::device {

struct MonitorSettings {
  Duration poll_interval = std::chrono::seconds(5);
  // A look at the driver that takes longer makes every device unhealthy, until it ends.
  Duration hang_timeout = std::chrono::seconds(60);
  HealthThresholds thresholds;
  FaultTable faults;
  SharingSettings sharing;
};

// Belongs to the loop's thread.
class DeviceMonitor {
 public:
  // `on_change` is called on the loop's thread with each snapshot that is another one than before,
  // and once with the first, whatever it is.
  DeviceMonitor(EventLoop& loop, const MonitorSettings& settings,
                DevicePoller::OpenDeviceManager open,
                std::function<void(const std::shared_ptr<const Snapshot>&)> on_change);
  ~DeviceMonitor();
  DeviceMonitor(const DeviceMonitor&) = delete;
  DeviceMonitor& operator=(const DeviceMonitor&) = delete;

  // Called on the loop's thread after each look, also one that changed nothing; without an
  // observation when a look has not come back. Set before Start().
  using OnLook = std::function<void(const Snapshot&, const Observation*)>;
  void SetOnLook(OnLook on_look) { on_look_ = std::move(on_look); }

  // Takes the first look, and goes on from there.
  void Start();

  // These hold from now on, but for the thresholds, which stay; looks at once. Not before Start().
  void Apply(const MonitorSettings& settings);

  // Looks now, and not only at the interval's end. Nothing, while a look is under way.
  void LookNow() { poller_.Poll(); }

  const std::shared_ptr<const Snapshot>& snapshot() const { return published_; }

 private:
  void Tick();
  // Looks at once: the report tells what to log, the look what holds.
  void OnFault(const hal::DeviceFault& fault);
  void OnObservation(const Observation& observation);
  void Publish(const Observation* observation);

  EventLoop& loop_;
  MonitorSettings settings_;
  const std::function<void(const std::shared_ptr<const Snapshot>&)> on_change_;
  OnLook on_look_;
  const std::shared_ptr<DeviceMonitor*>
      self_;  // null for observations that arrive after the destructor
  DeviceTable table_;
  std::shared_ptr<const Snapshot> published_;
  EventLoop::TimerId timer_ = 0;
  bool look_again_ = false;  // a fault was reported during a look, which may not have seen it
  DevicePoller poller_;
};

// One log line for each difference between two snapshots.
void LogDifferences(const Snapshot& before, const Snapshot& after);

}  // namespace npu_ipc::device
