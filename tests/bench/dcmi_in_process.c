// A libdcmi of eight healthy 910B that answers by itself: what is left of a start is our own part.
// The simulator's asks a driver in another process, so each of its calls waits for two processes to
// be scheduled; the vendor's makes ioctls.
#include <string.h>

#include "hal/dcmi/dcmi_interface_api.h"

#pragma GCC visibility push(default)

enum { kCards = 8 };

int dcmi_init(void) { return DCMI_OK; }

int dcmi_get_card_list(int* card_num, int* card_list, int list_len) {
  if (list_len < kCards) return DCMI_ERR_CODE_INVALID_PARAMETER;
  for (int card = 0; card < kCards; ++card) card_list[card] = card;
  *card_num = kCards;
  return DCMI_OK;
}

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
  *phyid = logicid;
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
  *health = 0;
  return DCMI_OK;
}

int dcmi_get_topo_info_by_device_id(int card_id1, int device_id1, int card_id2, int device_id2,
                                    int* topo_type) {
  (void)device_id1;
  (void)device_id2;
  *topo_type = card_id1 == card_id2 ? DCMI_TOPO_TYPE_SELF : DCMI_TOPO_TYPE_HCCS;
  return DCMI_OK;
}
