#include "plugin/config/reload.h"

#include <spdlog/spdlog.h>

namespace npu_ipc::config {

Start Start::Of(int argc, const char* const* argv) {
  return {{argv, argv + argc}, ProcessEnvironment()};
}

Result<Parsed> Parse(Options& options, const Start& start) {
  std::vector<const char*> arguments;
  arguments.reserve(start.arguments.size());
  for (const std::string& argument : start.arguments) arguments.push_back(argument.c_str());
  return options.Parse(static_cast<int>(arguments.size()), arguments.data(), start.environment);
}

void LogChanges(const Changes& changes) {
  for (const std::string& change : changes.live) spdlog::info("setting changed: {}", change);
  for (const std::string& change : changes.restart) {
    spdlog::warn("setting needs a restart, left as it was: {}", change);
  }
  if (changes.live.empty() && changes.restart.empty()) spdlog::info("no setting has changed");
}

}  // namespace npu_ipc::config
