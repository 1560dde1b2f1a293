// The runtime's way to the driver.
#pragma once

#include <string_view>

#include "hal/sim/driver/client.h"
#include "hal/sim/libruntime/errors.h"

namespace npu_ipc::sim {

// One request, over the process' one connection. `what` names the attempt for the message. Any
// thread; blocks for as long as the driver takes.
RtResult<DriverReply> CallDriver(const Request& request, std::string_view what);

}  // namespace npu_ipc::sim
