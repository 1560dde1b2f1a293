#include "plugin/device/device_monitor.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <map>
#include <string>
#include <utility>

namespace npu_ipc::device {

DeviceMonitor::DeviceMonitor(EventLoop& loop, const MonitorSettings& settings,
                             DevicePoller::OpenDeviceManager open,
                             std::function<void(const std::shared_ptr<const Snapshot>&)> on_change)
    : loop_(loop),
      settings_(settings),
      on_change_(std::move(on_change)),
      self_(std::make_shared<DeviceMonitor*>(this)),
      table_(settings.thresholds, settings.faults),
      poller_(
          std::move(open),
          [&loop, self = self_](Observation observation) {
            loop.Post([self, observation = std::move(observation)] {
              if (*self != nullptr) (*self)->OnObservation(observation);
            });
          },
          loop.clock(), settings.sharing,
          [&loop, self = self_](const hal::DeviceFault& fault) {
            loop.Post([self, fault] {
              if (*self != nullptr) (*self)->OnFault(fault);
            });
          }) {}

DeviceMonitor::~DeviceMonitor() {
  *self_ = nullptr;
  loop_.Cancel(timer_);
}

void DeviceMonitor::Start() { Tick(); }

void DeviceMonitor::Apply(const MonitorSettings& settings) {
  settings_ = settings;
  table_.SetFaults(settings.faults);
  poller_.SetSharing(settings.sharing);
  look_again_ = poller_.BusyFor().has_value();  // that look is by the settings before
  loop_.Cancel(timer_);
  Tick();
}

void DeviceMonitor::Tick() {
  timer_ = loop_.RunAfter(settings_.poll_interval, [this] { Tick(); });
  const std::optional<Duration> busy = poller_.BusyFor();
  if (!busy) {
    poller_.Poll();
  } else if (*busy >= settings_.hang_timeout) {
    const auto limit =
        std::chrono::duration_cast<std::chrono::milliseconds>(settings_.hang_timeout);
    table_.ObserveHang("the driver has not answered for " + std::to_string(limit.count()) + " ms");
    Publish(nullptr);
  }
}

void DeviceMonitor::OnFault(const hal::DeviceFault& fault) {
  spdlog::warn("fault reported: id={} code={:#x} severity={} change={} description={}",
               fault.physical_id ? DeviceId(*fault.physical_id) : "unknown", fault.code,
               hal::FaultSeverityName(fault.severity), hal::FaultChangeName(fault.change),
               fault.description);
  look_again_ = poller_.BusyFor().has_value();
  poller_.Poll();
}

void DeviceMonitor::OnObservation(const Observation& observation) {
  table_.Observe(observation);
  if (std::exchange(look_again_, false)) poller_.Poll();
  Publish(&observation);
}

void DeviceMonitor::Publish(const Observation* observation) {
  if (published_ != table_.snapshot()) {
    LogDifferences(published_ == nullptr ? Snapshot() : *published_, *table_.snapshot());
    published_ = table_.snapshot();
    on_change_(published_);
  }
  if (on_look_) on_look_(*published_, observation);
}

static void LogDegradation(const SchedulableDevice& device) {
  if (device.degraded.empty()) {
    spdlog::info("device is no longer degraded: id={}", device.id);
  } else {
    spdlog::warn("device is degraded, containers still get it: id={} faults={}", device.id,
                 device.degraded);
  }
}

void LogDifferences(const Snapshot& before, const Snapshot& after) {
  if (before.problem != after.problem) {
    if (after.problem.empty()) {
      spdlog::info("the driver answers again");
    } else if (after.devices.empty()) {
      spdlog::warn("no devices, idling: reason={}", after.problem);
    } else {
      spdlog::warn("the driver does not show everything: reason={}", after.problem);
    }
  }
  std::map<std::string, const SchedulableDevice*> known;
  for (const SchedulableDevice& device : before.devices) known[device.id] = &device;
  for (const SchedulableDevice& device : after.devices) {
    const auto found = known.find(device.id);
    if (found == known.end()) {
      spdlog::info("device found: id={} chip={} node={} healthy={} reason={}", device.id,
                   device.hardware.chip_name, device.hardware.device_node, device.healthy,
                   device.reason);
    } else if (found->second->healthy != device.healthy) {
      spdlog::log(device.healthy ? spdlog::level::info : spdlog::level::warn,
                  "device health changed: id={} healthy={} reason={}", device.id, device.healthy,
                  device.reason);
    }
    const std::string degraded = found == known.end() ? "" : found->second->degraded;
    if (degraded != device.degraded) LogDegradation(device);
  }
}

}  // namespace npu_ipc::device
