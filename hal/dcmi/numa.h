// On which NUMA node a device is, as the kernel says.
#pragma once

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

namespace npu_ipc::hal {

struct PciNumaNode {
  bool known_device = false;    // the kernel lists the device
  std::optional<int32_t> node;  // empty where the kernel lists it and names no node
};

// Reads <sysfs>/bus/pci/devices/<pci_address>/numa_node.
PciNumaNode NumaNodeOfPciDevice(const std::string& sysfs, const std::string& pci_address);

// The node whose CPUs are exactly `cpu_list` ("0-23,96-119"), by <sysfs>/devices/system/node.
std::optional<int32_t> NumaNodeOfCpuList(const std::string& sysfs, std::string_view cpu_list);

}  // namespace npu_ipc::hal
