// DeviceManager over DCMI.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hal/base/result.h"
#include "hal/dcmi/dcmi_table.h"
#include "hal/dcmi/fault_subscription.h"
#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::hal {

// Safe for concurrent use, and holds no lock during a vendor call: a device that hangs does not
// stop the others from being asked.
class DcmiDeviceManager : public DeviceManager {
 public:
  // `dcmi`: initialised, every required entry set. `sysfs`: "/sys", or a test's.
  DcmiDeviceManager(DcmiTable dcmi, std::string sysfs);

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
  // Where DCMI finds a device, and what to call it.
  struct Location {
    int card = 0;
    int device = 0;
    uint32_t logical_id = 0;
    ChipFamily family = ChipFamily::kAscend910B;
    std::string name;  // "device 7 (card 3 device 1)"
  };
  Result<Location> Locate(uint32_t physical_id);
  // Percent; empty where the driver has no such number, or says nonsense.
  std::optional<uint32_t> Utilization(const Location& at, int type) const;
  DeviceFault ToFault(const dcmi_dms_fault_event& event);

  const DcmiTable dcmi_;
  const std::string sysfs_;
  std::mutex mutex_;
  std::map<uint32_t, Location> locations_;  // guarded by mutex_: as the last inventory has it

  std::mutex subscribing_;
  std::unique_ptr<FaultSubscription> faults_;  // last: ends before what its handler uses
};

}  // namespace npu_ipc::hal
