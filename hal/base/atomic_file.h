// A file that is replaced as a whole, or not at all.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc {

// Syncs a directory's entries to disk.
Status SyncDirectory(const std::string& path);

// Creates `path`, which must not exist, with this content and mode, synced.
Status WriteNewFile(const std::string& path, std::string_view content, mode_t mode);

// Makes `path` hold `content`: written beside it under a name that starts with a dot, synced and
// renamed over it. Makes the directory where it is missing. What was there stays whole if this
// fails, and no other file is left behind.
Status ReplaceFile(const std::string& path, std::string_view content, mode_t mode);

}  // namespace npu_ipc
