// A libdcmi that answers by itself, in C as the vendor's is: the least that is required, with one
// 910B. NPU_IPC_EIGHT_CARDS makes it a whole node with its links, NPU_IPC_INCOMPLETE leaves
// required functions out, NPU_IPC_UNREADY has a driver that is not up.
#include <string.h>

#include "hal/dcmi/dcmi_interface_api.h"

#pragma GCC visibility push(default)

#ifdef NPU_IPC_EIGHT_CARDS
enum { kCards = 8, kFirstCard = 0, kHealth = 0 };
#else
enum { kCards = 1, kFirstCard = 2, kHealth = 1 };
#endif

int dcmi_init(void) {
#ifdef NPU_IPC_UNREADY
  return DCMI_ERR_CODE_NOT_REDAY;
#else
  return DCMI_OK;
#endif
}

int dcmi_get_card_list(int* card_num, int* card_list, int list_len) {
  if (list_len < kCards) return DCMI_ERR_CODE_INVALID_PARAMETER;
  for (int i = 0; i < kCards; ++i) card_list[i] = kFirstCard + i;
  *card_num = kCards;
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
  *phyid = logicid + kFirstCard;
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
  *health = kHealth;
  return DCMI_OK;
}
#endif

#ifdef NPU_IPC_EIGHT_CARDS
int dcmi_get_topo_info_by_device_id(int card_id1, int device_id1, int card_id2, int device_id2,
                                    int* topo_type) {
  (void)device_id1;
  (void)device_id2;
  *topo_type = card_id1 == card_id2 ? DCMI_TOPO_TYPE_SELF : DCMI_TOPO_TYPE_HCCS;
  return DCMI_OK;
}
#endif
