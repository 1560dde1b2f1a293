// A DeviceManager without a driver: what it answers is set by the test, at any time, from any
// thread.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::hal {

class FakeDeviceManager : public DeviceManager {
 public:
  FakeDeviceManager() = default;
  explicit FakeDeviceManager(std::vector<Device> devices);

  // `count` 910B3 cards in a full HCCS mesh, the first half on NUMA node 0, the rest on node 1.
  static std::vector<Device> Ascend910B(uint32_t count = 8);
  // `modules` 910C modules of two dies: SIO within a module, HCCS_SW between modules.
  static std::vector<Device> Ascend910C(uint32_t modules = 8);

  // What discovery finds from now on. What was set of devices that stay is kept.
  void SetDevices(std::vector<Device> devices);
  void SetSkipped(std::vector<SkippedDevice> skipped);
  void RemoveDevice(uint32_t physical_id);
  void SetHealth(uint32_t physical_id, HealthLevel level, std::vector<uint32_t> fault_codes = {});
  void SetUsage(uint32_t physical_id, DeviceUsage usage);
  void SetProcesses(uint32_t physical_id, std::vector<DeviceProcess> processes);
  // In both directions. Unset pairs are what their family has by default.
  void SetLink(uint32_t physical_id_a, uint32_t physical_id_b, LinkType link);
  // The next SetDeviceShare calls of the device fail with kFailedPrecondition.
  void SetInUse(uint32_t physical_id, bool in_use);
  // Calls the handler that SubscribeFaults was given, on the calling thread; false while there is
  // none. Leaves what Health answers alone.
  bool ReportFault(const DeviceFault& fault);
  // What SubscribeFaults answers: kUnimplemented is a driver without subscription.
  void SetSubscriptionStatus(Status status);
  // Blocks until SubscribeFaults has been called; false after 30 seconds.
  bool WaitForSubscription();
  // Every call fails with `status` until it is set to ok.
  void FailWith(Status status);
  // Every call blocks, as with a driver that hangs, until it is set to false.
  void Hang(bool hang);
  // Blocks until `count` calls hang; false after 30 seconds.
  bool WaitForHungCalls(int count);
  // Calls that were made so far, also those that failed.
  int calls() const;

  Result<DeviceInventory> Devices() override;
  Result<DeviceHealth> Health(uint32_t physical_id) override;
  Result<DeviceUsage> Usage(uint32_t physical_id) override;
  Result<std::vector<DeviceProcess>> Processes(uint32_t physical_id) override;
  Result<LinkType> Link(uint32_t physical_id_a, uint32_t physical_id_b) override;
  Result<bool> DeviceShare(uint32_t physical_id) override;
  Status SetDeviceShare(uint32_t physical_id, bool enabled) override;
  Status SubscribeFaults(FaultHandler handler) override;
  Result<std::string> DriverVersion() override;

 private:
  struct State {
    DeviceHealth health;
    DeviceUsage usage;
    std::vector<DeviceProcess> processes;
    bool share = false;
    bool in_use = false;
  };

  // Counts the call, hangs or fails it as the test asked. Called with mutex_ held.
  Status Enter(std::unique_lock<std::mutex>& lock);
  Result<const Device*> FindDevice(uint32_t physical_id) const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Device> devices_;
  std::vector<SkippedDevice> skipped_;
  std::map<uint32_t, State> states_;  // by physical id; one may be set before its device is there
  std::map<std::pair<uint32_t, uint32_t>, LinkType> links_;
  Status subscription_status_;
  std::shared_ptr<const FaultHandler> fault_handler_;
  Status failure_;
  bool hang_ = false;
  int hung_calls_ = 0;
  int calls_ = 0;
};

}  // namespace npu_ipc::hal
