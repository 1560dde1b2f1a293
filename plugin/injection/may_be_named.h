// What pods may still rely on.
#pragma once

#include <functional>
#include <string>

namespace npu_ipc::injection {

// Whether any pod may hold a text (a device's qualified name, a path's part) from an earlier
// Allocate, whose answer is replayed for as long as the pod lives. True where that is not known.
using MayBeNamed = std::function<bool(const std::string& text)>;

}  // namespace npu_ipc::injection
