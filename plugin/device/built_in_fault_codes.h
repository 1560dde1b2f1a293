// fault-codes.json, as it was when this was built.
#pragma once

namespace npu_ipc::device {

extern const char kBuiltInFaultCodes[];

}  // namespace npu_ipc::device
