// The node as the simulated driver shows it to this process, in DCMI's terms.
#pragma once

#include <stdint.h>

#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {

// Every function here is safe for concurrent use and returns DCMI_OK or one of DCMI_ERR_CODE_*:
// NOT_REDAY while the driver is away.

// Which devices there are and where. As in the vendor's library, which makes its list in
// dcmi_init, this is not asked anew for every call: what is said of a device always is.
struct NodeView {
  uint64_t connection = 0;  // the driver's life that this was seen in; 0: never looked
  int devices_in_card = 0;  // DCMI's device_id_max; the controller (MCU) comes right after
  uint32_t visible_count = 0;
  uint32_t visible[kMaxDevices] = {};  // physical ids by logical id
  uint32_t occupied = 0;  // visible ones that another container has: on what card is not told
  uint32_t count = 0;
  struct {
    int card;
    int device;
    uint32_t physical_id;
  } at[kMaxDevices] = {};
};

// Asks anew. The view is the calling thread's and lives as long as it does.
int Look(const NodeView** view);
// What this thread saw when it last looked; looks if it never has.
int LastLook(const NodeView** view);

// What a driver's answer means to DCMI's caller.
int CodeOfReply(const Reply& reply);

int GetDriverVersion(char (&version)[32]);

// INVALID_DEVICE_ID for a number that no card has, DEVICE_NOT_EXIST for what this process does not
// see, RESOURCE_OCCUPIED for what another container has, NOT_SUPPORT for a controller.
int DescribeDevice(int card, int device, DeviceRecord* record);

// As DescribeDevice of the one and the other.
int DescribeLink(int card_a, int device_a, int card_b, int device_b, int* topology);
int ListProcesses(uint32_t physical_id, ProcessList* processes);
// Whether this process is on the host or in an admin container.
int IsHostOrAdmin(bool* is);
int SetDeviceShare(uint32_t physical_id, bool enabled);

}  // namespace npu_ipc::sim
