// The injected library's home on the host: versions side by side, none ever changed.
#pragma once

#include <string>

#include "hal/base/result.h"

namespace npu_ipc::injection {

// Copies the libraries `libnpu_ipc*.so*` of the directory `source` (regular files and the symbolic
// links between them; libnpu_ipc.so must be among them) into `<store>/<first 16 digits of their
// SHA-256>/` and returns that directory.
//
// A pod keeps the path that Allocate named for as long as it lives, and processes keep the files
// mapped, so a version is written under a temporary name, synced and renamed as a whole, and never
// written to again: a newer library gets a directory of its own. Installing what is already there
// writes nothing. A directory whose content no longer matches its name (a damaged disk) is moved
// aside, not repaired in place. Any number of processes may install at once.
//
// kNotFound: `source` has no libnpu_ipc.so. kFailedPrecondition: the store is on a file system that
// is mounted noexec, where no container could map the library. Otherwise what the file system says.
Result<std::string> InstallLibrary(const std::string& source, const std::string& store);

}  // namespace npu_ipc::injection
