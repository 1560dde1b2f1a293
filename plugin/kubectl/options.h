// The command line of `kubectl npu`.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc::kubectl {

enum class Format { kTable, kWide, kJson, kYaml };

struct Options {
  std::string command;                     // "shares"; "help" and "completion" too
  std::vector<std::string> arguments;      // what follows it
  std::vector<std::string> kubectl_flags;  // --context=... and the like: for kubectl itself

  Format format = Format::kTable;
  bool no_headers = false;
  bool watch = false;
  std::chrono::milliseconds interval = std::chrono::seconds(2);
  std::string pod_namespace;  // -n; empty: kubectl's current one
  bool all_namespaces = false;
  std::string node;              // --node; empty: all
  std::string daemon_namespace;  // --npu-ipc-namespace; empty: looked for by label
  std::chrono::milliseconds timeout = std::chrono::seconds(30);  // of one node
  size_t parallel = 16;
  std::string file;  // -f of bundle

  std::string text;  // what "help" prints
};

struct CommandInfo {
  std::string_view name;
  std::string_view description;
  bool namespaced;  // -n and -A choose what it shows
};
const std::vector<CommandInfo>& Commands();

// kInvalidArgument says what is wrong with it.
Result<Options> ParseOptions(const std::vector<std::string>& arguments);

// Those that the plugin itself and kubectl know, as "--name": for completion.
std::vector<std::string> FlagNames();

}  // namespace npu_ipc::kubectl
