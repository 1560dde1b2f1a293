// A daemon's settings, each declared once: flag, environment variable, config file key and default.
#pragma once

#include <stdint.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "hal/base/clock.h"
#include "hal/base/result.h"

namespace npu_ipc::config {

// What Parse() decided beside filling the values in.
struct Parsed {
  bool exit_now = false;  // --help, --version and --print-config: print `text` and exit 0
  std::string text;
};

// One setting has one key, written as its path in the JSON config file: "kubelet.socketDirectory".
// Its flag is
// --kubelet-socket-directory, its environment variable <PREFIX>_KUBELET_SOCKET_DIRECTORY.
// Precedence, highest first: flag, environment, config file (--config FILE), default. Not thread
// safe; used before a daemon's threads start.
class Options {
 public:
  // `environment_prefix` is like "NPU_IPC_BROKER".
  Options(std::string program, std::string description, std::string environment_prefix);

  // The variable holds the default when it is added, and the setting after Parse(). It must outlive
  // this object.
  void Add(const std::string& key, const std::string& description, std::string* value);
  void Add(const std::string& key, const std::string& description, bool* value);
  void Add(const std::string& key, const std::string& description, std::vector<std::string>* value);
  // Refused outside [minimum, maximum].
  void Add(const std::string& key, const std::string& description, int64_t* value, int64_t minimum,
           int64_t maximum);
  // Written "500ms", "30s", "5m", "1h"; refused outside [minimum, maximum].
  void Add(const std::string& key, const std::string& description, Duration* value,
           Duration minimum, Duration maximum);
  // One of `accepted`.
  void AddChoice(const std::string& key, const std::string& description, std::string* value,
                 std::vector<std::string> accepted);

  // kInvalidArgument names the flag, variable or file key, its value and what is accepted. An
  // unknown flag, an unknown key of the file and an unknown <PREFIX>_ variable are errors too.
  Result<Parsed> Parse(int argc, const char* const* argv,
                       const std::map<std::string, std::string>& environment);

  // The settings as the config file would hold them.
  nlohmann::json Effective() const;

 private:
  struct Option {
    std::string key;
    std::string flag;  // without the dashes
    std::string variable;
    std::string description;
    std::string accepted;    // "text", "true or false", "an integer from 1 to 100", ...
    bool is_switch = false;  // the flag alone means true
    std::function<Status(const std::string&)> set_text;
    std::function<Status(const nlohmann::json&)> set_json;
    std::function<nlohmann::json()> get;
  };

  void AddOption(Option option);
  Status ReadConfigFile(const std::string& path);
  Status ApplyJson(const nlohmann::json& object, const std::string& prefix,
                   const std::string& path);
  Status ApplyEnvironment(const std::map<std::string, std::string>& environment);
  std::string Help() const;

  std::string program_;
  std::string description_;
  std::string environment_prefix_;
  std::vector<Option> options_;
};

// The process' environment as a map.
std::map<std::string, std::string> ProcessEnvironment();

}  // namespace npu_ipc::config
