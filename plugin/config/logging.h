// How the daemons log: one line an event on stderr, as text or JSON, through spdlog's default
// logger.
#pragma once

#include <string>

#include "plugin/config/options.h"

namespace npu_ipc::config {

struct LogSettings {
  std::string level = "info";   // trace, debug, info, warning, error
  std::string format = "text";  // or json: one object a line, for collectors
};

// Adds log.level and log.format.
void AddLogOptions(Options& options, LogSettings* settings);

// Makes spdlog's default logger follow `settings`. Call once, before threads start. Log with
// spdlog::info(...) and so on: "what happened: name=value name=value", pods as namespace/name,
// never a key.
void StartLogging(const LogSettings& settings, const std::string& program);

// From now on. Any thread.
void SetLogLevel(const LogSettings& settings);

}  // namespace npu_ipc::config
