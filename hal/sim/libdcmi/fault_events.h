// The process' subscription to fault events.
#pragma once

#include "hal/dcmi/dcmi_interface_api.h"

namespace npu_ipc::sim {

// As the vendor's (driver: dsmi_fault.c): once a process and for good, at most 64 processes, each
// event on a thread of the library's own, filtered there. `logical_id` -1: of all devices.
// RESOURCE_OCCUPIED for the second subscription and for the 65th process. Safe for concurrent use;
// a forked child has no subscription and may make one.
int SubscribeFaultEvents(int logical_id, const dcmi_event_filter& filter,
                         dcmi_fault_event_callback handler);

}  // namespace npu_ipc::sim
