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

// What a second reading of the settings came to: "key: before -> after" each.
struct Changes {
  std::vector<std::string> live;  // in force from now on
  std::vector<std::string>
      restart;  // need a restart of the daemon; until then the value before stays
};

// One setting has one key, written as its path in the JSON config file: "kubelet.socketDirectory".
// Its flag is --kubelet-socket-directory, its environment variable
// <PREFIX>_KUBELET_SOCKET_DIRECTORY.
//
// Precedence, highest first: flag, environment, the config file's section for this node, the rest
// of the config file (--config FILE), default. With AddNodeName() one file serves a whole cluster:
//
//     {"health": {"pollInterval": "5s"}, "nodes": {"node-a": {"health": {"pollInterval": "1s"}}}}
//
// Every node's section is checked on every node: a mistake is found at once, and not where it first
// counts. A section of a node that is not there does nothing.
//
// Not thread safe.
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
  // Bytes, as ParseQuantity() reads them (quantity.h); "unlimited" is kUnlimitedBytes.
  void AddBytes(const std::string& key, const std::string& description, uint64_t* value);
  // One of `accepted`.
  void AddChoice(const std::string& key, const std::string& description, std::string* value,
                 const std::vector<std::string>& accepted);
  // Adds node.name, which chooses the section of the file. Where no flag and no <PREFIX>_NODE_NAME
  // says it, it is NODE_NAME (as manifests set it, from spec.nodeName), then the file's, then the
  // host's name.
  void AddNodeName(std::string* value);

  // These can be changed while the daemon runs. REQUIRES: they were added.
  void MarkLive(const std::vector<std::string>& keys);

  // kInvalidArgument names the flag, variable or file key, its value and what is accepted. An
  // unknown flag, an unknown key of the file and an unknown <PREFIX>_ variable are errors too.
  Result<Parsed> Parse(int argc, const char* const* argv,
                       const std::map<std::string, std::string>& environment);

  // The settings as the config file would hold them.
  nlohmann::json Effective() const;
  // One line a setting: its key, its value, and where that is from.
  std::string Origins() const;

  // Compares these settings, just read, with those that are in force, and sets those that cannot be
  // changed now back to what is in force. REQUIRES: `in_force` has the same settings.
  Changes Adopt(const Options& in_force);

 private:
  struct Option {
    std::string key;
    std::string flag;  // without the dashes
    std::string variable;
    std::string description;
    std::string accepted;    // "text", "true or false", "an integer from 1 to 100", ...
    bool is_switch = false;  // the flag alone means true
    bool live = false;       // see MarkLive()
    std::string origin = "default";
    std::function<Status(const std::string&)> set_text;
    std::function<Status(const nlohmann::json&)> set_json;
    std::function<nlohmann::json()> get;
    std::function<std::function<void()>()> save;  // what it returns sets the value back
  };

  template <class T>
  void AddOption(Option option, T* value);
  Option* Find(const std::string& key);
  // `object` is of the file; `section` names it: "" or "nodes.node-a.".
  Status ApplyFile(const std::string& path, std::string node_name);
  Status ApplyNodes(const nlohmann::json& nodes, const std::string& node_name,
                    const std::string& path);
  Status ApplyJson(const nlohmann::json& object, const std::string& section,
                   const std::string& prefix, const std::string& path);
  Status ApplyFlag(Option& option, const std::string& value);
  Status ApplyEnvironment(const std::map<std::string, std::string>& environment);
  std::string Help() const;

  std::string program_;
  std::string description_;
  std::string environment_prefix_;
  std::vector<Option> options_;
  bool has_nodes_ = false;  // AddNodeName()
};

// The process' environment as a map.
std::map<std::string, std::string> ProcessEnvironment();

}  // namespace npu_ipc::config
