// The shape of a simulated node: which devices it has, what DCMI says of them, how they are linked.
#pragma once

#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc::sim {

enum class ChipFamily : uint32_t { k910B = 0, k910C = 1 };  // HelloReply::chip_family

// DCMI's topology numbers (dcmi_get_topo_info_by_device_id).
enum class Link : uint32_t {
  kSelf = 0,
  kSys = 1,
  kPhb = 2,
  kHccs = 3,
  kPxb = 4,
  kPix = 5,
  kSio = 6,
  kHccsSwitch = 7,
  kUb = 8,
};

// Whether a device at one end can be given access to the memory of one at the other: HCCS, HCCS_SW,
// SIO and UB, and two devices below one PCIe switch (driver: devdrv_pci_topo_support_p2p).
bool CarriesPeerAccess(Link link);

struct DeviceShape {
  uint32_t physical_id = 0;
  uint32_t card_id = 0;
  uint32_t device_id_in_card = 0;
  uint32_t pci_domain = 0;
  uint32_t pci_bus = 0;
  uint32_t pci_device = 0;
  uint32_t pci_function = 0;
  int32_t numa_node = -1;  // -1: unknown
  std::string cpu_affinity;
  uint32_t super_pod_device_id = 0;
  uint32_t die_id[5] = {};
};

struct ChipShape {
  std::string type;
  std::string name;
  std::string version;
  std::string npu_name;
  uint32_t ai_cores = 0;
  uint32_t vector_cores = 0;
  uint64_t memory_bytes = 0;
  uint32_t memory_frequency_mhz = 0;
  int32_t temperature_celsius = 0;
  uint32_t pci_vendor_id = 0;
  uint32_t pci_device_id = 0;
  uint32_t board_id = 0;
  uint32_t mainboard_id = 0;
};

struct SuperPodShape {
  uint32_t id = 0;
  uint32_t size = 0;  // 0: the node is in no super pod
  uint32_t server_index = 0;
};

struct NodeShape {
  std::string description;
  ChipFamily chip_family = ChipFamily::k910B;
  std::string soc_name;
  std::string driver_version;
  ChipShape chip;
  SuperPodShape super_pod;
  std::vector<DeviceShape> devices;      // devices[i].physical_id == i
  std::vector<std::vector<Link>> links;  // links[a][b], symmetric

  bool Has(uint32_t physical_id) const { return physical_id < devices.size(); }
};

// Reads a node shape from the text of a JSON file. `file` is the name that errors begin with;
// kInvalidArgument names the key at fault and what is accepted there. A key that is not known is
// an error, but for "assumed": a list of the keys whose values no public source gives.
Result<NodeShape> ParseNodeShape(std::string_view text, const std::string& file);

// The shape that `name` stands for: a path when it has a slash or ends in ".json", else
// `<nodes_directory>/<name>.json`. kNotFound names the directory and the shapes that it has.
Result<NodeShape> LoadNodeShape(const std::string& name, const std::string& nodes_directory);

}  // namespace npu_ipc::sim
