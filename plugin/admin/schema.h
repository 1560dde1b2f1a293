// What the writers and the readers of documents agree on (README.md).
#pragma once

namespace npu_ipc::admin {

// Of every document. Members may be added within a version; a reader ignores what it does not know,
// and refuses another version.
inline constexpr char kApiVersion[] = "diagnostics.npu-ipc.io/v1";

}  // namespace npu_ipc::admin
