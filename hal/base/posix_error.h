// errno becomes a Status here and nowhere else.
#pragma once

#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc {

// `what` names the call and its object ("open /dev/davinci0"); the text of `error` is appended.
Status PosixError(int error, std::string_view what);

}  // namespace npu_ipc
