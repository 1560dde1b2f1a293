// A daemon's settings read again while it runs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plugin/config/options.h"

namespace npu_ipc::config {

// How the process was started, which does not change: what its settings are read from, each time.
struct Start {
  std::vector<std::string> arguments;  // the program's name first
  std::map<std::string, std::string> environment;

  static Start Of(int argc, const char* const* argv);
};

Result<Parsed> Parse(Options& options, const Start& start);

// One log line for each change.
void LogChanges(const Changes& changes);

// Reads the settings again. What comes back has what may change now, as it is now, and the rest as
// it is `in_force`, and has been checked; each difference is a log line. An error changes nothing.
//
// `declare` is Options(Settings*): all settings, those that can change marked. `check` is
// Status(Settings*).
template <class Settings, class Declare, class Check>
Result<Settings> Reload(const Start& start, Settings in_force, Declare declare, Check check) {
  Settings next;
  Options options = declare(&next);
  if (Result<Parsed> parsed = Parse(options, start); !parsed.ok()) return parsed.status();
  if (Status whole = check(&next); !whole.ok()) return whole;
  const Changes changes = options.Adopt(declare(&in_force));
  if (Status whole = check(&next); !whole.ok()) return whole;
  LogChanges(changes);
  return next;
}

}  // namespace npu_ipc::config
