// What of the host a container is given: the driver's files, and our library with the broker's
// socket directory.
#pragma once

#include <string>

#include "plugin/injection/container_changes.h"

namespace npu_ipc::injection {

// The constant paths inside a container, whatever they are on the host.
inline constexpr char kContainerLibraryDirectory[] = "/usr/local/lib/npu-ipc";
inline constexpr char kContainerSocketDirectory[] = "/run/npu-ipc";
inline constexpr char kContainerDriverDirectory[] = "/usr/local/Ascend/driver";

struct DriverLocation {
  // The driver's installation on the host. Its lib64 is what containers get; a directory without
  // one holds the libraries itself.
  std::string directory = kContainerDriverDirectory;
  // Where the host's root is seen by this process: "/", or where a container has it mounted. Only
  // looked through; containers are given the host's own paths.
  std::string host_root = "/";
};

// The driver's libraries, tools and version files, read-only, and the device nodes that every NPU
// process opens beside its own davinciN: those that exist now. Looks at the file system, so not for
// an RPC's path.
ContainerChanges DriverChanges(const DriverLocation& location);

// The library in `library_directory` (InstallLibrary's) and the broker's socket directory,
// read-only, and where to find them: NPU_IPC_LIBRARY and NPU_IPC_SOCKET. Inert in a pod without our
// annotation.
ContainerChanges LibraryChanges(const std::string& library_directory,
                                const std::string& socket_directory);

// Adds `more` to `changes`. What both name is kept as `changes` has it.
void Append(ContainerChanges& changes, const ContainerChanges& more);

}  // namespace npu_ipc::injection
