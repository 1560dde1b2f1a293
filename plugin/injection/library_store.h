// The injected library's home on the host: versions side by side, none ever changed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "hal/base/result.h"
#include "plugin/injection/may_be_named.h"

namespace npu_ipc::injection {

// Copies the libraries `libnpu_ipc*.so*` of the directory `source` (regular files and the symbolic
// links between them; libnpu_ipc.so must be among them) into `<store>/<first 16 digits of their
// SHA-256>/` and returns that directory, marked as used.
//
// A pod keeps the path that Allocate named for as long as it lives, and processes keep the files
// mapped, so a version is written under a temporary name, synced and renamed as a whole, and never
// written to again: a newer library gets a directory of its own. Installing what is already there
// writes nothing. A directory whose content no longer matches its name (a damaged disk) is
// exchanged for a whole one and goes on existing as `<name>.damaged-*`, for the processes that have
// it mapped: it is not repaired in place. Any number of processes may install at once.
//
// kNotFound: `source` has no libnpu_ipc.so. kFailedPrecondition: the store is on a file system that
// is mounted noexec, where no container could map the library. kResourceExhausted: the disk is
// full; what was there stays. Otherwise what the file system says.
Result<std::string> InstallLibrary(const std::string& source, const std::string& store);

// Says that this version may be given to containers from now on, again. Its directory's time of
// change is all that is touched. A process that goes on giving one out says so at least as often as
// RemoveUnusedVersions' `unused_for`.
void MarkVersionUsed(const std::string& version_directory);

// Removes the versions, damaged ones too, that are not `current`, that nobody has marked as used
// for so long, and that no pod may still name (asked for by the version's 16 digits); returns their
// directories. Both have to be so: the kubelet writes an answer down only after Allocate, and a
// time alone says nothing of pods that run for months. What is in the store and not of its making
// stays.
Result<std::vector<std::string>> RemoveUnusedVersions(const std::string& store,
                                                      const std::string& current,
                                                      const MayBeNamed& may_be_named,
                                                      std::chrono::seconds unused_for);

}  // namespace npu_ipc::injection
