#include "plugin/kubectl/options.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

namespace npu_ipc::kubectl {
namespace {

// Of kubectl's global options (kubectl options), those that say where the cluster is and who asks.
constexpr std::string_view kKubectlFlags[] = {"--as",
                                              "--as-group",
                                              "--as-uid",
                                              "--cache-dir",
                                              "--certificate-authority",
                                              "--client-certificate",
                                              "--client-key",
                                              "--cluster",
                                              "--context",
                                              "--kubeconfig",
                                              "--request-timeout",
                                              "--server",
                                              "--tls-server-name",
                                              "--token",
                                              "--user"};
constexpr std::string_view kKubectlSwitches[] = {"--insecure-skip-tls-verify",
                                                 "--disable-compression"};

// "1.5", "10s", "500ms", "2m": a number alone is seconds.
CLI::Validator InSeconds() {
  return CLI::AsNumberWithUnit(
      std::map<std::string, double>{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}},
      CLI::AsNumberWithUnit::CASE_SENSITIVE, "SECONDS or 10s, 500ms, 2m");
}

struct Parser {
  explicit Parser(Options* parsed);

  CLI::App app{"Shows and checks what pods share of their NPUs' memory.", "kubectl npu"};
  Options* const options;
  std::string format;
  double interval_seconds = 2;
  double timeout_seconds = 30;
  std::vector<std::vector<std::string>> passed{std::size(kKubectlFlags)};
  bool switches[std::size(kKubectlSwitches)] = {};
};

Parser::Parser(Options* parsed) : options(parsed) {
  std::string footer = "Commands:\n";
  for (const CommandInfo& command : Commands()) {
    footer += "  " + std::string(command.name) + std::string(12 - command.name.size(), ' ') +
              std::string(command.description) + "\n";
  }
  app.footer(footer);
  app.add_option("command", parsed->command, "what to show, see below");
  app.add_option("arguments", parsed->arguments, "POD of doctor, SHELL of completion");
  app.add_option("-o,--output", format, "json, yaml or wide");
  app.add_flag("--no-headers", parsed->no_headers, "tables without their first line");
  app.add_flag("-w,--watch", parsed->watch, "go on, and print what changes");
  app.add_option("--interval", interval_seconds, "of --watch")
      ->transform(InSeconds())
      ->check(CLI::Range(0.05, 86400.0));
  app.add_option("-n,--namespace", parsed->pod_namespace, "of pods; default: the context's");
  app.add_flag("-A,--all-namespaces", parsed->all_namespaces, "pods of all namespaces");
  app.add_option("--node", parsed->node, "this node alone");
  app.add_option("--npu-ipc-namespace", parsed->daemon_namespace,
                 "where npu-ipc runs; default: looked for by label in all namespaces");
  app.add_option("--timeout", timeout_seconds, "of one node's answer")
      ->transform(InSeconds())
      ->check(CLI::Range(0.05, 3600.0));
  app.add_option("--parallel", parsed->parallel, "nodes that are asked at one time")
      ->check(CLI::Range(1, 256));
  app.add_option("-f,--file", parsed->file, "of bundle: the archive to write");
  for (size_t i = 0; i < std::size(kKubectlFlags); ++i) {
    const std::string flag(kKubectlFlags[i]);
    app.add_option(flag == "--server" ? "-s,--server" : flag, passed[i], "as kubectl has it")
        ->allow_extra_args(false)
        ->group("Of kubectl");
  }
  for (size_t i = 0; i < std::size(kKubectlSwitches); ++i) {
    app.add_flag(std::string(kKubectlSwitches[i]), switches[i], "as kubectl has it")
        ->group("Of kubectl");
  }
}

std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

Status CheckCommand(const Options& options) {
  const auto invalid = [](const std::string& what) {
    return Status(StatusCode::kInvalidArgument, what);
  };
  const std::vector<CommandInfo>& commands = Commands();
  const bool known = std::any_of(commands.begin(), commands.end(), [&](const CommandInfo& command) {
    return command.name == options.command;
  });
  if (!known) return invalid("unknown command \"" + options.command + "\" for \"kubectl npu\"");
  const size_t most = options.command == "doctor" || options.command == "completion" ? 1 : 0;
  if (options.arguments.size() > most) {
    return invalid(options.command + " takes " + (most == 0 ? "no argument" : "one argument") +
                   ", not \"" + options.arguments.back() + "\"");
  }
  const bool once = options.command == "bundle" || options.command == "doctor";
  if (options.watch && once) return invalid(options.command + " has no --watch");
  if (!options.file.empty() && options.command != "bundle") {
    return invalid("--file is of bundle alone");
  }
  return Status::Ok();
}

std::optional<Format> ParseFormat(const std::string& format) {
  if (format.empty()) return Format::kTable;
  if (format == "wide") return Format::kWide;
  if (format == "json") return Format::kJson;
  if (format == "yaml") return Format::kYaml;
  return std::nullopt;
}

}  // namespace

const std::vector<CommandInfo>& Commands() {
  static const auto* const kCommands = new std::vector<CommandInfo>{
      {"devices", "the NPUs of each node, their health, and who holds them", false},
      {"pods", "pods that share or hold NPUs, what they ask for, and their processes", true},
      {"shares", "shared regions: who exports them, and who has them mapped", true},
      {"doctor", "[POD] what is in the way of a pod, or of the nodes", true},
      {"audit", "what the driver has, held against what was granted", false},
      {"top", "how busy the NPUs are, and what is shared of their memory", false},
      {"events", "what was refused and taken back lately", true},
      {"bundle", "an archive for whoever helps you, without secrets", false},
      {"version", "of this plugin, and of what runs on the nodes", false},
      {"completion", "SHELL: completion for bash, zsh or fish", false},
      {"help", "this text", false}};
  return *kCommands;
}

Result<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  Parser parser(&options);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    parser.app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    options.command = "help";
  } catch (const CLI::ParseError& error) {
    return Status(StatusCode::kInvalidArgument, error.what());
  }
  if (options.command.empty() || options.command == "help") {
    options.command = "help";
    options.text = parser.app.help();
    return options;
  }
  const std::optional<Format> format = ParseFormat(parser.format);
  if (!format) {
    return Status(StatusCode::kInvalidArgument,
                  "unable to match a printer suitable for the output "
                  "format \"" +
                      parser.format + "\", allowed formats are: json, wide, yaml");
  }
  options.format = *format;
  options.interval = Milliseconds(parser.interval_seconds);
  options.timeout = Milliseconds(parser.timeout_seconds);
  for (size_t i = 0; i < std::size(kKubectlFlags); ++i) {
    for (const std::string& value : parser.passed[i]) {
      options.kubectl_flags.push_back(std::string(kKubectlFlags[i]) + "=" + value);
    }
  }
  for (size_t i = 0; i < std::size(kKubectlSwitches); ++i) {
    if (parser.switches[i]) options.kubectl_flags.emplace_back(kKubectlSwitches[i]);
  }
  if (Status checked = CheckCommand(options); !checked.ok()) return checked;
  return options;
}

std::vector<std::string> FlagNames() {
  Options options;
  const Parser parser(&options);
  std::vector<std::string> names;
  for (const CLI::Option* const option : parser.app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

}  // namespace npu_ipc::kubectl
