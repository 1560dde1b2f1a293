// The least of a libdcmi: one 910B. NPU_IPC_INCOMPLETE leaves required functions out;
// NPU_IPC_UNREADY has a driver that is not up.
#include <string.h>

#include "hal/dcmi/dcmi_interface_api.h"

#pragma GCC visibility push(default)

int dcmi_init(void) {
#ifdef NPU_IPC_UNREADY
  return DCMI_ERR_CODE_NOT_REDAY;
#else
  return DCMI_OK;
#endif
}

int dcmi_get_card_list(int* card_num, int* card_list, int list_len) {
  if (list_len < 1) return DCMI_ERR_CODE_INVALID_PARAMETER;
  *card_num = 1;
  card_list[0] = 2;
  return DCMI_OK;
}

#ifndef NPU_IPC_INCOMPLETE
int dcmi_get_device_id_in_card(int card_id, int* device_id_max, int* mcu_id, int* cpu_id) {
  (void)card_id;
  *device_id_max = 1;
  *mcu_id = 1;
  *cpu_id = -1;
  return DCMI_OK;
}

int dcmi_get_device_logic_id(int* device_logic_id, int card_id, int device_id) {
  *device_logic_id = card_id + device_id;
  return DCMI_OK;
}

int dcmi_get_device_phyid_from_logicid(unsigned int logicid, unsigned int* phyid) {
  *phyid = logicid + 2;
  return DCMI_OK;
}

int dcmi_get_device_chip_info(int card_id, int device_id, struct dcmi_chip_info* chip_info) {
  (void)card_id;
  (void)device_id;
  memset(chip_info, 0, sizeof(*chip_info));
  memcpy(chip_info->chip_name, "910B3", 5);
  return DCMI_OK;
}

int dcmi_get_device_health(int card_id, int device_id, unsigned int* health) {
  (void)card_id;
  (void)device_id;
  *health = 1;
  return DCMI_OK;
}
#endif
