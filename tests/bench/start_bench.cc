// npu-ipc-start-bench LIBRARY...: what a preloaded library adds to the start of a program that does
// not use it, measured in turn with starts without. JSON on standard output.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "tests/bench/samples.h"

namespace npu_ipc {
namespace {

using nlohmann::json;

constexpr int kWarmUp = 20;

// From before posix_spawn to the program's end; false when it could not be started, or failed.
bool TimeStart(const std::string& library, Samples& samples) {
  std::string program = "/bin/true", preload = "LD_PRELOAD=" + library;
  char* const arguments[] = {program.data(), nullptr};
  char* const environment[] = {preload.data(), nullptr};  // with an empty value, too
  int status = -1;
  pid_t child = -1;
  samples.Time([&] {
    if (::posix_spawn(&child, arguments[0], nullptr, nullptr, arguments, environment) != 0) return;
    ::waitpid(child, &status, 0);
  });
  return status == 0;
}

bool Measure(const std::string& library, int starts, json& rows) {
  Samples without, with, warm_up;
  for (int i = 0; i < kWarmUp + starts; ++i) {
    const bool counts = i >= kWarmUp;
    if (!TimeStart("", counts ? without : warm_up)) return false;
    if (!TimeStart(library, counts ? with : warm_up)) return false;
  }
  const double added = static_cast<double>(with.Percentile(50) - without.Percentile(50)) / 1e9;
  const std::string name = std::filesystem::path(library).filename();
  rows.push_back({{"figure", "added to a program's start by " + name},
                  {"seconds", added},
                  {"start_seconds", static_cast<double>(without.Percentile(50)) / 1e9},
                  {"aim_seconds", 0.0002}});
  return true;
}

int Run(int argc, char** argv) {
  CLI::App app("What a preloaded library adds to a program's start, as JSON");
  int starts = 1000;
  std::vector<std::string> libraries;
  app.add_option("--starts", starts)->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("libraries", libraries)->required()->check(CLI::ExistingFile);
  CLI11_PARSE(app, argc, argv);
  json rows = json::array();
  for (const std::string& library : libraries) {
    if (Measure(std::filesystem::absolute(library), starts, rows)) continue;
    std::cerr << "/bin/true does not run with " << library << std::endl;
    return 1;
  }
  std::cout << json{{"figures", rows}}.dump(2) << std::endl;
  return 0;
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) { return npu_ipc::Run(argc, argv); }
