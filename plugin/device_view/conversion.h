// NodeChange as it goes over the wire, and back.
#pragma once

#include "plugin/device_view/node_state.h"

namespace npu::ipc::v1 {
class Update;
}

namespace npu_ipc::device_view {

void ToProto(const NodeChange& change, npu::ipc::v1::Update* update);

// What a newer device plugin says and this one does not know is left out, or unknown.
NodeChange FromProto(const npu::ipc::v1::Update& update);

}  // namespace npu_ipc::device_view
