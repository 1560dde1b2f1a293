// DCMI's return codes become a Status here and nowhere else.
#pragma once

#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc::hal {

// Ok for 0. Otherwise the message names `call` and its `object` ("card 3 device 0"; may be empty)
// and keeps the code. kUnavailable for the codes that pass by themselves: timeout, not ready,
// reset, upgrade.
Status DcmiStatus(int code, std::string_view call, std::string_view object);

// kUnimplemented: the installed driver's library lacks `call`.
Status DcmiMissing(std::string_view call);

}  // namespace npu_ipc::hal
