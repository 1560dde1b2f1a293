// From the vendor's stream handle to the stream.
#pragma once

#include <memory>

#include "hal/sim/libruntime/errors.h"
#include "hal/sim/libruntime/stream.h"

namespace npu_ipc::sim {

// nullptr names the current context's default stream. 107002 without a context, 107003 for another
// context's stream, 107017 for one that does not exist (any more).
RtResult<std::shared_ptr<Stream>> FindStream(const void* handle);

}  // namespace npu_ipc::sim
