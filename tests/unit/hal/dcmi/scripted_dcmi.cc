#include "tests/unit/hal/dcmi/scripted_dcmi.h"

#include <algorithm>
#include <cstring>

namespace npu_ipc::hal {
namespace {

ScriptedDcmi* current = nullptr;
dcmi_fault_event_callback fault_callback = nullptr;

// The chip, or nullptr with the code that the call returns instead.
ScriptedChip* Find(const char* call, int card, int device, int* code) {
  *code = current->CodeOf(call, card, device);
  if (*code != DCMI_OK) return nullptr;
  const auto found = current->chips.find({card, device});
  if (found != current->chips.end()) return &found->second;
  *code = DCMI_ERR_CODE_DEVICE_NOT_EXIST;
  return nullptr;
}

// Fills the array whole where the text is as long, without a NUL: as the vendor's may.
template <size_t N>
void Copy(const std::string& text, unsigned char (&to)[N]) {
  memset(to, 0, N);
  memcpy(to, text.data(), std::min(N, text.size()));
}

int GetCardList(int* count, int* list, int length) {
  const int code = current->CodeOf("dcmi_get_card_list", -1, -1);
  if (code != DCMI_OK) return code;
  *count = current->card_count;
  for (int i = 0; i < length && i < static_cast<int>(current->cards.size()); ++i) {
    list[i] = current->cards[static_cast<size_t>(i)];
  }
  return DCMI_OK;
}

int GetDeviceIdInCard(int card, int* max, int* mcu, int* cpu) {
  const int code = current->CodeOf("dcmi_get_device_id_in_card", card, -1);
  if (code != DCMI_OK) return code;
  const ScriptedDcmi::Card& info = current->card_info[card];
  *max = info.device_id_max;
  *mcu = info.mcu_id;
  *cpu = info.cpu_id;
  return DCMI_OK;
}

int GetDriverVersion(char* text, unsigned int length) {
  const int code = current->CodeOf("dcmi_get_driver_version", -1, -1);
  if (code != DCMI_OK) return code;
  strncpy(text, "24.1.rc3", length);
  return DCMI_OK;
}

int GetPhysicalId(unsigned int logical, unsigned int* physical) {
  const int code = current->CodeOf("dcmi_get_device_phyid_from_logicid", -1, -1);
  if (code != DCMI_OK) return code;
  for (const auto& [where, chip] : current->chips) {
    if (chip.logical_id != static_cast<int>(logical)) continue;
    *physical = chip.physical_id;
    return DCMI_OK;
  }
  return DCMI_ERR_CODE_INVALID_DEVICE_ID;
}

int GetErrorCodes(int card, int device, int* count, unsigned int* codes, unsigned int length) {
  int code;
  const ScriptedChip* chip = Find("dcmi_get_device_errorcode_v2", card, device, &code);
  if (chip == nullptr) return code;
  for (size_t i = 0; i < chip->faults.size() && i < length; ++i) codes[i] = chip->faults[i];
  *count = current->fault_count >= 0 ? current->fault_count : static_cast<int>(chip->faults.size());
  return DCMI_OK;
}

int GetResourceInfo(int card, int device, dcmi_proc_mem_info* list, int* count) {
  int code;
  if (Find("dcmi_get_device_resource_info", card, device, &code) == nullptr) return code;
  std::copy(current->processes.begin(), current->processes.end(), list);
  *count = current->process_count;
  return DCMI_OK;
}

int GetTopology(int card_a, int device_a, int card_b, int device_b, int* topology) {
  int code;
  if (Find("dcmi_get_topo_info_by_device_id", card_a, device_a, &code) == nullptr) return code;
  if (Find("dcmi_get_topo_info_by_device_id", card_b, device_b, &code) == nullptr) return code;
  *topology = current->topology;
  return DCMI_OK;
}

int GetAffinity(int card, int device, char* cpus, int* length) {
  int code;
  const ScriptedChip* chip = Find("dcmi_get_affinity_cpu_info_by_device_id", card, device, &code);
  if (chip == nullptr) return code;
  strcpy(cpus, chip->cpus.c_str());
  *length = static_cast<int>(chip->cpus.size());
  return DCMI_OK;
}

int SubscribeFaultEvent(int card, int device, dcmi_event_filter filter,
                        dcmi_fault_event_callback handler) {
  const int code = current->CodeOf("dcmi_subscribe_fault_event", card, device);
  if (code != DCMI_OK) return code;
  if (card != -1 || device != -1 || filter.filter_flag != 0) return DCMI_ERR_CODE_INVALID_PARAMETER;
  if (fault_callback != nullptr) return DCMI_ERR_CODE_RESOURCE_OCCUPIED;
  fault_callback = handler;
  return DCMI_OK;
}

}  // namespace

void ScriptedDcmi::Report(const dcmi_dms_fault_event& event) {
  dcmi_event report = {};
  report.type = DCMI_DMS_FAULT_EVENT;
  report.event_t.dms_event = event;
  fault_callback(&report);
}

ScriptedDcmi::ScriptedDcmi() { current = this; }
ScriptedDcmi::~ScriptedDcmi() { current = nullptr; }

void ScriptedDcmi::Make910B(int count) {
  card_count = count;
  for (int i = 0; i < count; ++i) {
    cards.push_back(i);
    card_info[i] = {1, 1, -1};
    ScriptedChip& chip = chips[{i, 0}];
    chip.logical_id = i;
    chip.physical_id = static_cast<unsigned int>(i);
    chip.pci.bdf_busid = static_cast<unsigned int>(0xc0 + i);
  }
}

void ScriptedDcmi::Make910C(int modules) {
  card_count = modules;
  for (int i = 0; i < modules; ++i) {
    cards.push_back(i);
    card_info[i] = {2, 2, -1};
    for (int die = 0; die < 2; ++die) {
      ScriptedChip& chip = chips[{i, die}];
      chip.chip_name = "Ascend910";
      chip.board_id = 0xb0;
      chip.logical_id = 2 * i + die;
      chip.physical_id = static_cast<unsigned int>(2 * i + die);
    }
  }
}

void ScriptedDcmi::Fail(const std::string& call, int code, int card, int device) {
  failures_[call][{card, device}] = code;
}

int ScriptedDcmi::CodeOf(const std::string& call, int card, int device) const {
  const auto calls = failures_.find(call);
  if (calls == failures_.end()) return DCMI_OK;
  for (const auto& where : {std::pair{card, device}, std::pair{card, -1}, std::pair{-1, -1}}) {
    const auto found = calls->second.find(where);
    if (found != calls->second.end()) return found->second;
  }
  return DCMI_OK;
}

DcmiTable ScriptedDcmi::Table() {
  DcmiTable table;
  table.init = [] { return current->init_code; };
  table.get_card_list = GetCardList;
  table.get_device_id_in_card = GetDeviceIdInCard;
  table.get_driver_version = GetDriverVersion;
  table.get_device_phyid_from_logicid = GetPhysicalId;
  table.get_device_errorcode_v2 = GetErrorCodes;
  table.get_device_resource_info = GetResourceInfo;
  table.get_topo_info_by_device_id = GetTopology;
  table.get_affinity_cpu_info_by_device_id = GetAffinity;
  table.subscribe_fault_event = SubscribeFaultEvent;
  table.get_device_type = [](int card, int device, dcmi_unit_type* type) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_type", card, device, &code);
    if (chip != nullptr) *type = chip->type;
    return code;
  };
  table.get_device_logic_id = [](int* logical, int card, int device) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_logic_id", card, device, &code);
    if (chip != nullptr) *logical = chip->logical_id;
    return code;
  };
  table.get_device_chip_info = [](int card, int device, dcmi_chip_info* info) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_chip_info", card, device, &code);
    if (chip != nullptr) Copy(chip->chip_name, info->chip_name);
    return code;
  };
  table.get_device_chip_info_v2 = [](int card, int device, dcmi_chip_info_v2* info) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_chip_info_v2", card, device, &code);
    if (chip != nullptr) Copy(chip->npu_name, info->npu_name);
    return code;
  };
  table.get_device_pcie_info_v2 = [](int card, int device, dcmi_pcie_info_all* info) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_pcie_info_v2", card, device, &code);
    if (chip != nullptr) *info = chip->pci;
    return code;
  };
  table.get_device_board_info = [](int card, int device, dcmi_board_info* info) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_board_info", card, device, &code);
    if (chip != nullptr) info->board_id = chip->board_id;
    return code;
  };
  table.get_mainboard_id = [](int card, int device, unsigned int* id) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_mainboard_id", card, device, &code);
    if (chip != nullptr) *id = chip->mainboard_id;
    return code;
  };
  table.get_device_die_v2 = [](int card, int device, dcmi_die_type, dcmi_die_id* die) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_die_v2", card, device, &code);
    if (chip != nullptr) *die = chip->die;
    return code;
  };
  table.get_device_health = [](int card, int device, unsigned int* health) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_health", card, device, &code);
    if (chip != nullptr) *health = chip->health;
    return code;
  };
  table.get_device_temperature = [](int card, int device, int* temperature) {
    int code;
    if (Find("dcmi_get_device_temperature", card, device, &code) != nullptr) *temperature = 51;
    return code;
  };
  table.get_device_hbm_info = [](int card, int device, dcmi_hbm_info* info) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_hbm_info", card, device, &code);
    if (chip != nullptr) *info = chip->memory;
    return code;
  };
  table.get_device_utilization_rate = [](int card, int device, int type, unsigned int* rate) {
    int code;
    if (Find("dcmi_get_device_utilization_rate", card, device, &code) != nullptr) {
      *rate = type == DCMI_UTILIZATION_RATE_AICORE ? current->utilization : 99;
    }
    return code;
  };
  table.get_device_share_enable = [](int card, int device, int* flag) {
    int code;
    const ScriptedChip* chip = Find("dcmi_get_device_share_enable", card, device, &code);
    if (chip != nullptr) *flag = chip->share;
    return code;
  };
  table.set_device_share_enable = [](int card, int device, int flag) {
    int code;
    ScriptedChip* chip = Find("dcmi_set_device_share_enable", card, device, &code);
    if (chip != nullptr) chip->share = flag;
    return code;
  };
  return table;
}

}  // namespace npu_ipc::hal
