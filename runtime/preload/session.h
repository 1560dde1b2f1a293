// What this process is to the broker.
#pragma once

#include <stdint.h>

#include "runtime/src/client.h"

namespace npu_ipc::preload {

// Whoever calls for the first time connects; nothing is done before. A forked child is a process of
// its own, and connects anew. Each function is safe for concurrent use and keeps errno.

// This process' client where the broker knows it as one of a group's and is there, waiting no
// longer than `patience_ms` where it is not there just now. Null where the caller is to do as if
// this library were not loaded: there is no broker, or it lets this pod share nothing.
runtime::Client* FindSharingClient(uint32_t patience_ms);

// The same client, wherever the broker is; null where there never was one. Connects nothing.
runtime::Client* FindKnownClient();

}  // namespace npu_ipc::preload
