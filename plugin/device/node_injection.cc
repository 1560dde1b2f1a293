#include "plugin/device/node_injection.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "plugin/injection/cdi_spec.h"
#include "plugin/injection/library_store.h"
#include "plugin/kubelet/allocation_checkpoint.h"

namespace npu_ipc::device {

using injection::DeviceMode;

NodeInjection::NodeInjection(EventLoop& loop, const InjectionSettings& settings, Places places,
                             std::function<void()> changed)
    : loop_(loop),
      settings_(settings),
      places_(std::move(places)),
      changed_(std::move(changed)),
      mode_(injection::ParseDeviceMode(settings.mode).value()) {
  ScheduleUpkeep();
}

NodeInjection::~NodeInjection() { loop_.Cancel(timer_); }

void NodeInjection::ScheduleUpkeep() {
  timer_ = loop_.RunAfter(settings_.upkeep_interval, [this] { Upkeep(); });
}

injection::MayBeNamed NodeInjection::NamesOfPods() const {
  const auto checkpoint = kubelet::AllocationCheckpoint::Read(places_.kubelet_directory);
  if (!checkpoint.ok()) return [](const std::string&) { return true; };
  return [names = *checkpoint](const std::string& text) { return names.Mentions(text); };
}

NodeInjection::Prepared NodeInjection::Prepare(const std::vector<SchedulableDevice>& devices) {
  driver_ = injection::DriverChanges(places_.driver);
  devices_.clear();
  for (const SchedulableDevice& device : devices) {
    devices_.push_back({device.id, device.hardware.physical_id, device.hardware.device_node});
  }
  spec_status_ = WriteSpec();
  Report(spec_status_);
  return {mode_, injection::CommonChanges(mode_, driver_), spec_status_};
}

Status NodeInjection::WriteSpec() {
  if (mode_ != DeviceMode::kCdi || devices_.empty()) return Status::Ok();
  return injection::WriteCdiSpec(settings_.cdi_directory, driver_, devices_, NamesOfPods());
}

void NodeInjection::Upkeep() {
  ScheduleUpkeep();
  if (mode_ == DeviceMode::kCdi) {
    const Status written = WriteSpec();
    if (written.ok() != spec_status_.ok()) changed_();
  } else {
    RemoveStaleSpec();
  }
  RemoveOldVersions();
}

// Of a time when the mode was another one.
void NodeInjection::RemoveStaleSpec() {
  const Result<bool> removed = injection::RemoveCdiSpec(settings_.cdi_directory, NamesOfPods());
  if (!removed.ok()) Report(removed.status());
}

void NodeInjection::RemoveOldVersions() {
  injection::MarkVersionUsed(places_.library_version);
  const auto removed = injection::RemoveUnusedVersions(
      places_.library_store, places_.library_version, NamesOfPods(),
      std::chrono::duration_cast<std::chrono::seconds>(settings_.keep_versions));
  if (!removed.ok()) return Report(removed.status());
  for (const std::string& directory : *removed) {
    spdlog::info("removed a library that no pod can name: directory={}", directory);
  }
}

void NodeInjection::Close() {
  if (mode_ == DeviceMode::kCdi) RemoveStaleSpec();
}

void NodeInjection::Report(const Status& status) {
  if (status.message() == last_report_) return;
  last_report_ = status.message();
  if (!status.ok()) spdlog::warn("injection: {}", status.message());
}

}  // namespace npu_ipc::device
