// The node as the simulated driver shows it to this process, in DCMI's terms.
#pragma once

#include <stdint.h>

#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {

// Every function here is safe for concurrent use and returns DCMI_OK or one of DCMI_ERR_CODE_*:
// NOT_REDAY while the driver is away.

// What this process sees, `devices` in the order of logical ids.
int DescribeNode(HelloReply* node);

struct CardList {
  uint32_t count = 0;
  uint32_t occupied_devices = 0;  // which another container has: DCMI does not say on what card
  struct {
    int card;
    int visible_devices;
  } cards[kMaxDevices] = {};
};
// Asks anew.
int DescribeCards(CardList* list);

// DCMI's device_id_max: how many NPUs a whole card has. The controller (MCU) comes right after.
int DevicesInCard(const HelloReply& node);

// INVALID_DEVICE_ID for a number that no card has, DEVICE_NOT_EXIST for what this process does not
// see, RESOURCE_OCCUPIED for what another container has, NOT_SUPPORT for a controller.
int DescribeDevice(int card, int device, DeviceRecord* record);

int DescribeLink(uint32_t physical_id_a, uint32_t physical_id_b, int* topology);
int ListProcesses(uint32_t physical_id, ProcessList* processes);
int SetDeviceShare(uint32_t physical_id, bool enabled);

}  // namespace npu_ipc::sim
