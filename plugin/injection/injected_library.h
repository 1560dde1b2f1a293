// What makes the injected library ready for containers, whoever serves the resource that brings it.
#pragma once

#include <string>

#include "hal/base/result.h"
#include "plugin/injection/container_changes.h"

namespace npu_ipc::config {
class Options;
}  // namespace npu_ipc::config

namespace npu_ipc::injection {

struct InjectedLibrary {
  std::string source;  // the directory of libnpu_ipc.so; "": ../lib, seen from the executable
  std::string store = "/var/lib/npu-ipc/lib";     // the host's directory of its versions
  std::string socket_directory = "/run/npu-ipc";  // the host's, of the broker's socket
};

// Adds injection.librarySource, injection.libraryStore and injection.socketDirectory.
void AddLibraryOptions(config::Options& options, InjectedLibrary* library);

// kInvalidArgument names the setting that is no absolute path.
Status CheckLibrary(const InjectedLibrary& library);

// Installs the library into the store and makes the socket directory (a container cannot be started
// with a mount whose source is missing, whoever of the two daemons is first). Returns what a
// container is given: LibraryChanges(). Errors are InstallLibrary's, and what the file system says
// of the directory. Waits for the disk, so not for an RPC's path.
Result<ContainerChanges> PrepareLibrary(const InjectedLibrary& library);

}  // namespace npu_ipc::injection
