// The simulator's libdcmi.so: which devices there are, and what they are.
//
// As in the vendor's library, NULL outputs, impossible lengths and unknown types are
// INVALID_PARAMETER before the driver is asked.
#include <string.h>

#include <algorithm>
#include <iterator>

#include "hal/dcmi/dcmi_interface_api.h"
#include "hal/sim/libdcmi/node_view.h"

using npu_ipc::sim::DescribeDevice;
using npu_ipc::sim::DeviceRecord;
using npu_ipc::sim::LastLook;
using npu_ipc::sim::Look;
using npu_ipc::sim::NodeView;

namespace {

template <size_t N>
void CopyText(const char (&from)[N], unsigned char (&to)[N]) {
  memcpy(to, from, N);
}

// The whole text and its NUL must fit.
int GetVersion(char* to, unsigned int length) {
  if (to == nullptr || length == 0) return DCMI_ERR_CODE_INVALID_PARAMETER;
  char version[32];
  if (int code = npu_ipc::sim::GetDriverVersion(version); code != DCMI_OK) return code;
  const size_t bytes = strnlen(version, sizeof(version) - 1);
  if (bytes >= length) return DCMI_ERR_CODE_INVALID_PARAMETER;
  memcpy(to, version, bytes);
  to[bytes] = '\0';
  return DCMI_OK;
}

int LogicalIdOf(const NodeView& view, uint32_t physical_id, unsigned int* logical_id) {
  for (uint32_t i = 0; i < view.visible_count; ++i) {
    if (view.visible[i] != physical_id) continue;
    *logical_id = i;
    return DCMI_OK;
  }
  return DCMI_ERR_CODE_DEVICE_NOT_EXIST;
}

int VisibleDevicesIn(const NodeView& view, int card) {
  int visible = 0;
  for (uint32_t i = 0; i < view.count; ++i) visible += view.at[i].card == card ? 1 : 0;
  return visible;
}

// The view that has the card: the last one, or a new one if that has it not.
int FindCard(int card, const NodeView** view) {
  if (card < 0) return DCMI_ERR_CODE_INVALID_DEVICE_ID;
  if (int code = LastLook(view); code != DCMI_OK) return code;
  if (VisibleDevicesIn(**view, card) != 0) return DCMI_OK;
  if (int code = Look(view); code != DCMI_OK) return code;
  return VisibleDevicesIn(**view, card) != 0 ? DCMI_OK : DCMI_ERR_CODE_DEVICE_NOT_EXIST;
}

// What both versions of dcmi_chip_info hold.
template <class ChipInfo>
int DescribeChip(int card_id, int device_id, DeviceRecord* record, ChipInfo* info) {
  if (info == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  if (int code = DescribeDevice(card_id, device_id, record); code != DCMI_OK) return code;
  CopyText(record->chip_type, info->chip_type);
  CopyText(record->chip_name, info->chip_name);
  CopyText(record->chip_version, info->chip_ver);
  info->aicore_cnt = record->ai_core_count;
  return DCMI_OK;
}

}  // namespace

int dcmi_init(void) {
  const NodeView* view = nullptr;
  if (int code = Look(&view); code != DCMI_OK) return code;
  // What a container is told that was given nothing but devices of another one.
  if (view->count == 0 && view->occupied != 0) return DCMI_ERR_CODE_INNER_ERR;
  return DCMI_OK;
}

int dcmi_get_dcmi_version(char* dcmi_ver, unsigned int len) { return GetVersion(dcmi_ver, len); }

int dcmi_get_driver_version(char* driver_ver, unsigned int len) {
  return GetVersion(driver_ver, len);
}

int dcmi_get_card_list(int* card_num, int* card_list, int list_len) {
  if (card_num == nullptr || card_list == nullptr || list_len <= 0) {
    return DCMI_ERR_CODE_INVALID_PARAMETER;
  }
  const NodeView* view = nullptr;
  if (int code = Look(&view); code != DCMI_OK) return code;
  int count = 0;
  for (uint32_t i = 0; i < view->count && count < list_len; ++i) {
    const int card = view->at[i].card;
    if (std::find(card_list, card_list + count, card) == card_list + count) {
      card_list[count++] = card;
    }
  }
  *card_num = count;
  return DCMI_OK;
}

int dcmi_get_device_num_in_card(int card_id, int* device_num) {
  if (device_num == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  const NodeView* view = nullptr;
  if (int code = FindCard(card_id, &view); code != DCMI_OK) return code;
  *device_num = VisibleDevicesIn(*view, card_id);
  return DCMI_OK;
}

int dcmi_get_device_id_in_card(int card_id, int* device_id_max, int* mcu_id, int* cpu_id) {
  if (device_id_max == nullptr || mcu_id == nullptr || cpu_id == nullptr) {
    return DCMI_ERR_CODE_INVALID_PARAMETER;
  }
  const NodeView* view = nullptr;
  if (int code = FindCard(card_id, &view); code != DCMI_OK) return code;
  *device_id_max = view->devices_in_card;
  *mcu_id = view->devices_in_card;
  *cpu_id = -1;
  return DCMI_OK;
}

int dcmi_get_device_type(int card_id, int device_id, enum dcmi_unit_type* device_type) {
  if (device_type == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  const int code = DescribeDevice(card_id, device_id, &record);
  if (code != DCMI_OK && code != DCMI_ERR_CODE_NOT_SUPPORT) return code;
  *device_type = code == DCMI_OK ? NPU_TYPE : MCU_TYPE;
  return DCMI_OK;
}

int dcmi_get_device_logic_id(int* device_logic_id, int card_id, int device_id) {
  if (device_logic_id == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  const NodeView* view = nullptr;
  if (int code = LastLook(&view); code != DCMI_OK) return code;
  unsigned int logical_id = 0;
  const int code = LogicalIdOf(*view, record.physical_id, &logical_id);
  if (code == DCMI_OK) *device_logic_id = static_cast<int>(logical_id);
  return code;
}

int dcmi_get_device_phyid_from_logicid(unsigned int logicid, unsigned int* phyid) {
  if (phyid == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  const NodeView* view = nullptr;
  if (int code = LastLook(&view); code != DCMI_OK) return code;
  if (logicid >= view->visible_count) return DCMI_ERR_CODE_INVALID_DEVICE_ID;
  *phyid = view->visible[logicid];
  return DCMI_OK;
}

int dcmi_get_device_logicid_from_phyid(unsigned int phyid, unsigned int* logicid) {
  if (logicid == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  const NodeView* view = nullptr;
  if (int code = LastLook(&view); code != DCMI_OK) return code;
  return LogicalIdOf(*view, phyid, logicid);
}

int dcmi_get_card_id_device_id_from_logicid(int* card_id, int* device_id,
                                            unsigned int device_logic_id) {
  unsigned int physical_id = 0;
  if (int code = dcmi_get_device_phyid_from_logicid(device_logic_id, &physical_id);
      code != DCMI_OK) {
    return code;
  }
  return dcmi_get_card_id_device_id_from_phyid(card_id, device_id, physical_id);
}

int dcmi_get_card_id_device_id_from_phyid(int* card_id, int* device_id,
                                          unsigned int device_phy_id) {
  if (card_id == nullptr || device_id == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  const NodeView* view = nullptr;
  if (int code = LastLook(&view); code != DCMI_OK) return code;
  for (uint32_t i = 0; i < view->count; ++i) {
    if (view->at[i].physical_id != device_phy_id) continue;
    *card_id = view->at[i].card;
    *device_id = view->at[i].device;
    return DCMI_OK;
  }
  return DCMI_ERR_CODE_DEVICE_NOT_EXIST;
}

int dcmi_get_device_chip_info(int card_id, int device_id, struct dcmi_chip_info* chip_info) {
  DeviceRecord record;
  return DescribeChip(card_id, device_id, &record, chip_info);
}

int dcmi_get_device_chip_info_v2(int card_id, int device_id, struct dcmi_chip_info_v2* chip_info) {
  DeviceRecord record;
  const int code = DescribeChip(card_id, device_id, &record, chip_info);
  if (code == DCMI_OK) CopyText(record.npu_name, chip_info->npu_name);
  return code;
}

int dcmi_get_device_pcie_info_v2(int card_id, int device_id, struct dcmi_pcie_info_all* pcie_info) {
  if (pcie_info == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  *pcie_info = {};
  pcie_info->venderid = record.pci_vendor_id;
  pcie_info->deviceid = record.pci_device_id;
  pcie_info->subvenderid = record.pci_vendor_id;
  pcie_info->domain = static_cast<int>(record.pci_domain);
  pcie_info->bdf_busid = record.pci_bus;
  pcie_info->bdf_deviceid = record.pci_device;
  pcie_info->bdf_funcid = record.pci_function;
  return DCMI_OK;
}

int dcmi_get_device_board_info(int card_id, int device_id, struct dcmi_board_info* board_info) {
  if (board_info == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  *board_info = {};
  board_info->board_id = record.board_id;
  board_info->slot_id = record.card_id;
  return DCMI_OK;
}

int dcmi_get_mainboard_id(int card_id, int device_id, unsigned int* mainboard_id) {
  if (mainboard_id == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  const int code = DescribeDevice(card_id, device_id, &record);
  if (code == DCMI_OK) *mainboard_id = record.mainboard_id;
  return code;
}

int dcmi_get_device_die_v2(int card_id, int device_id, enum dcmi_die_type input_type,
                           struct dcmi_die_id* die_id) {
  if (die_id == nullptr || (input_type != NDIE && input_type != VDIE)) {
    return DCMI_ERR_CODE_INVALID_PARAMETER;
  }
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  std::copy(std::begin(record.die_id), std::end(record.die_id), die_id->soc_die);
  return DCMI_OK;
}

int dcmi_get_device_info(int card_id, int device_id, enum dcmi_main_cmd main_cmd,
                         unsigned int sub_cmd, void* buf, unsigned int* size) {
  if (buf == nullptr || size == nullptr) return DCMI_ERR_CODE_INVALID_PARAMETER;
  DeviceRecord record;
  if (int code = DescribeDevice(card_id, device_id, &record); code != DCMI_OK) return code;
  if (main_cmd != DCMI_MAIN_CMD_CHIP_INF || sub_cmd != DCMI_CHIP_INF_SUB_CMD_SPOD_INFO ||
      record.super_pod_size == 0) {
    return DCMI_ERR_CODE_NOT_SUPPORT;
  }
  dcmi_spod_info info = {};
  if (*size < sizeof(info)) return DCMI_ERR_CODE_INVALID_PARAMETER;
  info.sdid = record.super_pod_device_id;
  info.super_pod_size = record.super_pod_size;
  info.super_pod_id = record.super_pod_id;
  info.server_index = record.server_index;
  memcpy(buf, &info, sizeof(info));
  *size = sizeof(info);
  return DCMI_OK;
}
