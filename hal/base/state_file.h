// What a daemon remembers over its restarts.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <string_view>

#include "hal/base/fd.h"
#include "hal/base/result.h"

namespace npu_ipc {

// A small file that only its user can read or write, in a directory of that kind: either the whole
// of what was written last, or nothing. What it holds is told apart by a kind and a version, and
// checked by its length and a checksum: against half a disk, not against forgery, which the owner
// and the mode are there for.
//
// A plain value. Not for concurrent use of one path; there is no lock between processes.
class StateFile {
 public:
  // `kind` is one word; it and `version` are what the content is.
  StateFile(std::string path, std::string kind, uint32_t version, size_t max_bytes = 64 << 20);

  // kNotFound: there is none. kPermissionDenied: it or its directory is not this user's alone.
  // kInvalidArgument: it is malformed, of another kind or version, or larger than `max_bytes`. Each
  // names the file, and none of it is to be used.
  Result<std::string> Read() const;

  // Replaces the whole, synced to disk; what was there stays if this fails. Makes the directory
  // (0700), or takes other users' rights to it away; kPermissionDenied where it is another user's.
  Status Write(std::string_view content) const;

  const std::string& path() const { return path_; }

 private:
  std::string Header(std::string_view content) const;
  Status CheckDirectory() const;

  std::string path_;
  std::string directory_;
  std::string kind_;
  uint32_t version_;
  size_t max_bytes_;
};

// For what is written in place: opens `path` to read and write, and makes it and its directory
// where they are missing. Errors as of StateFile.
Result<UniqueFd> OpenStateFile(const std::string& path);

}  // namespace npu_ipc
