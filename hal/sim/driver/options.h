// What npu-sim-driver is told on its command line.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "hal/sim/driver/device_nodes.h"

namespace npu_ipc::sim {

struct Options {
  std::string node = "910b";
  std::string nodes_directory;    // where bare node names are looked up
  std::string library_directory;  // where the socket goes
  DeviceNodes::Options devices;
  std::string audit_directory;        // empty: none
  pid_t host_mount_namespace_of = 0;  // 0: this daemon
  int ready_fd = -1;
  bool verbose = false;
};

// Empty when the process should end with `*exit_code`: --help, or a bad argument, which is reported
// on stderr.
std::optional<Options> ParseOptions(int argc, char** argv, int* exit_code);

}  // namespace npu_ipc::sim
