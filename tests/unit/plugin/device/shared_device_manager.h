// A driver that the daemon opens and that the test keeps hold of.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plugin/device/device_poller.h"
#include "tests/fakes/fake_device_manager.h"

namespace npu_ipc::device {

class SharedDeviceManager final : public hal::DeviceManager {
 public:
  explicit SharedDeviceManager(std::shared_ptr<hal::DeviceManager> target)
      : target_(std::move(target)) {}

  Result<hal::DeviceInventory> Devices() override { return target_->Devices(); }
  Result<hal::DeviceHealth> Health(uint32_t id) override { return target_->Health(id); }
  Result<hal::DeviceUsage> Usage(uint32_t id) override { return target_->Usage(id); }
  Result<std::vector<hal::DeviceProcess>> Processes(uint32_t id) override {
    return target_->Processes(id);
  }
  Result<hal::LinkType> Link(uint32_t a, uint32_t b) override { return target_->Link(a, b); }
  Result<bool> DeviceShare(uint32_t id) override { return target_->DeviceShare(id); }
  Status SetDeviceShare(uint32_t id, bool enabled) override {
    return target_->SetDeviceShare(id, enabled);
  }
  Status SubscribeFaults(hal::FaultHandler handler) override {
    return target_->SubscribeFaults(std::move(handler));
  }
  Result<std::string> DriverVersion() override { return target_->DriverVersion(); }

 private:
  const std::shared_ptr<hal::DeviceManager> target_;
};

inline DevicePoller::OpenDeviceManager OpenShared(std::weak_ptr<hal::DeviceManager> driver) {
  return [driver = std::move(driver)]() -> Result<std::unique_ptr<hal::DeviceManager>> {
    return std::unique_ptr<hal::DeviceManager>(
        std::make_unique<SharedDeviceManager>(driver.lock()));
  };
}

}  // namespace npu_ipc::device
