// Finds the devices of a node through DCMI.
#pragma once

#include <string>

#include "hal/base/result.h"
#include "hal/dcmi/dcmi_table.h"
#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::hal {

// One walk over the driver's cards. What the driver says is not trusted: counts and ids that make
// no sense are reported in `skipped`, as is a device that does not answer, and the rest is served.
// An error only when the list of cards cannot be had.
Result<DeviceInventory> DiscoverDevices(const DcmiTable& dcmi, const std::string& sysfs);

// "card 3 device 1".
std::string DeviceName(int card, int device);

}  // namespace npu_ipc::hal
