#include "hal/dcmi/dcmi_discovery.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "hal/dcmi/chip_family.h"
#include "hal/dcmi/dcmi_status.h"
#include "hal/dcmi/numa.h"

namespace npu_ipc::hal {
namespace {

constexpr int kMaxDevicesInCard = 16;         // a 910C module has 2, no card is known to have more
constexpr uint32_t kMaxPhysicalId = 1023;     // DCMI itself ends at 64 cards
constexpr uint64_t kMaxMemoryMiB = 16 << 20;  // 16 TiB

// DCMI's texts fill their arrays, end in a NUL or not, and may be padded.
template <size_t N>
std::string Text(const unsigned char (&raw)[N]) {
  std::string text;
  for (size_t i = 0; i < N && raw[i] != 0; ++i) {
    text += raw[i] >= 0x20 && raw[i] < 0x7f ? static_cast<char>(raw[i]) : '?';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

class Discovery {
 public:
  Discovery(const DcmiTable& dcmi, const std::string& sysfs) : dcmi_(dcmi), sysfs_(sysfs) {}

  Result<DeviceInventory> Run();

 private:
  // Why a chip is not served.
  struct Refusal {
    std::string reason;
    bool failed;
  };
  static Refusal Failed(const Status& status) { return {status.message(), true}; }

  void VisitCard(int card);
  void VisitDevice(int card, int device);
  void Skip(std::string name, Refusal why) {
    inventory_.skipped.push_back({std::move(name), std::move(why.reason), why.failed});
  }

  // Each fills its part of `found`; those that return a Refusal decide whether it is served.
  std::optional<Refusal> Identify(int card, int device, Device* found);
  std::optional<Refusal> Number(int card, int device, Device* found);
  ChipIdentity ReadBoards(int card, int device, ChipIdentity identity);
  void Describe(int card, int device, Device* found);
  std::optional<int32_t> NumaNode(int card, int device, const std::string& pci_address);

  const DcmiTable& dcmi_;
  const std::string& sysfs_;
  DeviceInventory inventory_;
};

Result<DeviceInventory> Discovery::Run() {
  int count = 0;
  int cards[MAX_CARD_NUM] = {};
  if (Status listed =
          DcmiStatus(dcmi_.get_card_list(&count, cards, MAX_CARD_NUM), "dcmi_get_card_list", "");
      !listed.ok()) {
    return listed;
  }
  if (count < 0) {
    return Status(StatusCode::kInternal,
                  "dcmi_get_card_list says that there are " + std::to_string(count) + " cards");
  }
  if (count > MAX_CARD_NUM) {
    Skip("cards beyond 64", {"dcmi_get_card_list says that there are " + std::to_string(count) +
                                 ", DCMI can name " + std::to_string(MAX_CARD_NUM),
                             true});
    count = MAX_CARD_NUM;
  }
  std::set<int> seen;
  for (int i = 0; i < count; ++i) {
    if (cards[i] < 0) {
      Skip("card " + std::to_string(cards[i]), {"a card's number is not negative", true});
    } else if (!seen.insert(cards[i]).second) {
      Skip("card " + std::to_string(cards[i]), {"listed twice", true});
    } else {
      VisitCard(cards[i]);
    }
  }
  std::sort(inventory_.devices.begin(), inventory_.devices.end(),
            [](const Device& a, const Device& b) { return a.physical_id < b.physical_id; });
  return std::move(inventory_);
}

void Discovery::VisitCard(int card) {
  const std::string name = "card " + std::to_string(card);
  int devices = 0;
  int controller = -1;
  int cpu = -1;
  if (Status asked = DcmiStatus(dcmi_.get_device_id_in_card(card, &devices, &controller, &cpu),
                                "dcmi_get_device_id_in_card", name);
      !asked.ok()) {
    return Skip(name, Failed(asked));
  }
  if (devices < 0 || devices > kMaxDevicesInCard) {
    Skip(name, {"dcmi_get_device_id_in_card says that it has " + std::to_string(devices) + " chips",
                true});
    devices = std::clamp(devices, 0, kMaxDevicesInCard);
  }
  for (int device = 0; device < devices; ++device) {
    if (device == controller || device == cpu) {
      Skip(DeviceName(card, device), {"a controller, not an NPU", false});
    } else {
      VisitDevice(card, device);
    }
  }
}

void Discovery::VisitDevice(int card, int device) {
  Device found;
  found.card_id = static_cast<uint32_t>(card);
  found.device_id_in_card = static_cast<uint32_t>(device);
  if (auto refusal = Identify(card, device, &found)) {
    return Skip(DeviceName(card, device), std::move(*refusal));
  }
  if (auto refusal = Number(card, device, &found)) {
    return Skip(DeviceName(card, device), std::move(*refusal));
  }
  Describe(card, device, &found);
  inventory_.devices.push_back(std::move(found));
}

std::optional<Discovery::Refusal> Discovery::Identify(int card, int device, Device* found) {
  const std::string name = DeviceName(card, device);
  if (dcmi_.get_device_type != nullptr) {
    dcmi_unit_type type = INVALID_TYPE;
    Status asked =
        DcmiStatus(dcmi_.get_device_type(card, device, &type), "dcmi_get_device_type", name);
    if (!asked.ok()) return Failed(asked);
    if (type != NPU_TYPE) return Refusal{"a controller, not an NPU", false};
  }
  dcmi_chip_info chip = {};
  Status asked = DcmiStatus(dcmi_.get_device_chip_info(card, device, &chip),
                            "dcmi_get_device_chip_info", name);
  if (!asked.ok()) return Failed(asked);

  ChipIdentity identity;
  identity.chip_name = Text(chip.chip_name);
  dcmi_chip_info_v2 chip_v2 = {};
  if (!RecognizeFamily(identity) && dcmi_.get_device_chip_info_v2 != nullptr &&
      dcmi_.get_device_chip_info_v2(card, device, &chip_v2) == DCMI_OK) {
    identity.npu_name = Text(chip_v2.npu_name);
  }
  const bool ambiguous = NameIsAmbiguous(identity);
  if (ambiguous) identity = ReadBoards(card, device, std::move(identity));

  const std::optional<ChipFamily> family = RecognizeFamily(identity);
  if (!family) {
    if (ambiguous && !identity.board_id && !identity.mainboard_id) {
      return Refusal{"chip '" + identity.chip_name +
                         "' may be a 910A or a 910C, and the driver names no board that would tell",
                     true};
    }
    return Refusal{"chip '" + identity.chip_name + "' is neither a 910B nor a 910C", false};
  }
  found->family = *family;
  found->chip_name =
      ambiguous && !identity.npu_name.empty() ? identity.npu_name : identity.chip_name;
  return std::nullopt;
}

ChipIdentity Discovery::ReadBoards(int card, int device, ChipIdentity identity) {
  dcmi_board_info board = {};
  if (dcmi_.get_device_board_info != nullptr &&
      dcmi_.get_device_board_info(card, device, &board) == DCMI_OK) {
    identity.board_id = board.board_id;
  }
  unsigned int mainboard = 0;
  if (dcmi_.get_mainboard_id != nullptr &&
      dcmi_.get_mainboard_id(card, device, &mainboard) == DCMI_OK) {
    identity.mainboard_id = mainboard;
  }
  return identity;
}

std::optional<Discovery::Refusal> Discovery::Number(int card, int device, Device* found) {
  const std::string name = DeviceName(card, device);
  int logical = -1;
  Status asked = DcmiStatus(dcmi_.get_device_logic_id(&logical, card, device),
                            "dcmi_get_device_logic_id", name);
  if (!asked.ok()) return Failed(asked);
  if (logical < 0) {
    return Refusal{"dcmi_get_device_logic_id says " + std::to_string(logical), true};
  }
  unsigned int physical = 0;
  asked =
      DcmiStatus(dcmi_.get_device_phyid_from_logicid(static_cast<unsigned int>(logical), &physical),
                 "dcmi_get_device_phyid_from_logicid", name);
  if (!asked.ok()) return Failed(asked);
  if (physical > kMaxPhysicalId) {
    return Refusal{"dcmi_get_device_phyid_from_logicid says " + std::to_string(physical), true};
  }
  for (const Device& other : inventory_.devices) {
    if (other.physical_id != physical) continue;
    return Refusal{
        "has physical id " + std::to_string(physical) + ", as has " +
            DeviceName(static_cast<int>(other.card_id), static_cast<int>(other.device_id_in_card)),
        true};
  }
  found->logical_id = static_cast<uint32_t>(logical);
  found->physical_id = physical;
  found->device_node = "/dev/davinci" + std::to_string(physical);
  return std::nullopt;
}

void Discovery::Describe(int card, int device, Device* found) {
  dcmi_hbm_info memory = {};
  if (dcmi_.get_device_hbm_info != nullptr &&
      dcmi_.get_device_hbm_info(card, device, &memory) == DCMI_OK &&
      memory.memory_size <= kMaxMemoryMiB) {
    found->memory_bytes = memory.memory_size << 20;
  }
  dcmi_die_id die = {};
  if (dcmi_.get_device_die_v2 != nullptr &&
      dcmi_.get_device_die_v2(card, device, VDIE, &die) == DCMI_OK &&
      std::any_of(std::begin(die.soc_die), std::end(die.soc_die),
                  [](unsigned int part) { return part != 0; })) {
    char text[DIE_ID_COUNT * 9 + 1];
    std::snprintf(text, sizeof(text), "%08X-%08X-%08X-%08X-%08X", die.soc_die[0], die.soc_die[1],
                  die.soc_die[2], die.soc_die[3], die.soc_die[4]);
    found->serial = text;
  }
  dcmi_pcie_info_all pci = {};
  if (dcmi_.get_device_pcie_info_v2 != nullptr &&
      dcmi_.get_device_pcie_info_v2(card, device, &pci) == DCMI_OK && pci.domain >= 0 &&
      pci.bdf_busid <= 0xff && pci.bdf_deviceid <= 0x1f && pci.bdf_funcid <= 7) {
    char text[32];
    std::snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", static_cast<unsigned int>(pci.domain),
                  pci.bdf_busid, pci.bdf_deviceid, pci.bdf_funcid);
    found->pci_address = text;
  }
  found->numa_node = NumaNode(card, device, found->pci_address);
}

std::optional<int32_t> Discovery::NumaNode(int card, int device, const std::string& pci_address) {
  const PciNumaNode kernel = NumaNodeOfPciDevice(sysfs_, pci_address);
  // DCMI reads the same file and takes node 0 where it names none (driver: dcmi_npu_link_intf.c),
  // so it is asked only where the kernel does not list the device here.
  if (kernel.known_device) return kernel.node;
  if (dcmi_.get_affinity_cpu_info_by_device_id == nullptr) return std::nullopt;
  char cpus[4096] = {};  // DCMI takes no size: a line of sysfs fits
  int length = 0;
  if (dcmi_.get_affinity_cpu_info_by_device_id(card, device, cpus, &length) != DCMI_OK) {
    return std::nullopt;
  }
  return NumaNodeOfCpuList(sysfs_, std::string_view(cpus, strnlen(cpus, sizeof(cpus))));
}

}  // namespace

std::string DeviceName(int card, int device) {
  return "card " + std::to_string(card) + " device " + std::to_string(device);
}

Result<DeviceInventory> DiscoverDevices(const DcmiTable& dcmi, const std::string& sysfs) {
  return Discovery(dcmi, sysfs).Run();
}

}  // namespace npu_ipc::hal
