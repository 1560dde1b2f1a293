#include "hal/sim/driver/options.h"

#include <charconv>
#include <filesystem>

#include <CLI/CLI.hpp>

namespace npu_ipc::sim {
namespace {

// The directory above that of this program's file: where bin/, lib/ and share/ are.
std::string Prefix() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().parent_path().string();
}

std::string CheckMode(const std::string& text) {
  unsigned mode = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, mode, 8);
  return parsed.ec == std::errc() && parsed.ptr == end && mode <= 0777
             ? ""
             : "expected an octal mode from 0 to 777, like 0660";
}

}  // namespace

std::optional<Options> ParseOptions(int argc, char** argv, int* exit_code) {
  Options options;
  options.nodes_directory = Prefix() + "/share/npu-ipc-sim/nodes";
  options.library_directory = Prefix() + "/lib/npu-ipc-sim";
  std::string device_mode = "0660";

  CLI::App app(
      "The simulated Ascend driver of one node.\n"
      "It serves the simulator's libdcmi.so, libascendcl.so and libruntime.so on a socket\n"
      "beside them, makes the node's device nodes, prints \"ready\", and runs until SIGTERM.",
      "npu-sim-driver");
  app.option_defaults()->always_capture_default();
  app.add_option("--node", options.node,
                 "Node shape: a JSON file, or a name in " + options.nodes_directory);
  app.add_option("--library-directory", options.library_directory,
                 "Where the vendor libraries are and the socket goes")
      ->check(CLI::ExistingDirectory);
  app.add_option("--device-directory", options.devices.directory,
                 "Where davinciN and the control nodes are made")
      ->check(CLI::ExistingDirectory);
  app.add_option("--device-mode", device_mode, "Permissions of the device nodes, octal")
      ->check(CLI::Validator(CheckMode, "MODE"));
  app.add_option("--device-major", options.devices.major,
                 "Major number of the device nodes; 0: the first free experimental one")
      ->check(CLI::Range(0, 4095));
  app.add_option("--audit-directory", options.audit_directory,
                 "Offer what the driver's /proc/svm_shmem shows, as files here");
  app.add_option("--host-mount-namespace-of", options.host_mount_namespace_of,
                 "Process whose mount namespace counts as the host's; 0: this daemon")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--ready-fd", options.ready_fd,
                 "Write \"ready\" to this descriptor too, and close it; -1: none");
  app.add_flag("--verbose", options.verbose, "Log every refused request and its reason on stderr");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error);
    return std::nullopt;
  }
  std::from_chars(device_mode.data(), device_mode.data() + device_mode.size(), options.devices.mode,
                  8);
  return options;
}

}  // namespace npu_ipc::sim
