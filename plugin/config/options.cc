#include "plugin/config/options.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>

#include "plugin/config/config_file.h"
#include "plugin/config/quantity.h"

extern char** environ;

namespace npu_ipc::config {
namespace {

using nlohmann::json;

constexpr char kUnlimited[] = "unlimited";
constexpr char kNodeNameKey[] = "node.name";
constexpr char kNodeNameVariable[] = "NODE_NAME";  // of Kubernetes' manifests, by convention

// "kubelet.socketDirectory" in another spelling: `separator` between words, letters through
// `convert`.
std::string Spell(const std::string& key, char separator, int (*convert)(int)) {
  std::string spelled;
  for (const char c : key) {
    if (c == '.' || (c >= 'A' && c <= 'Z')) spelled += separator;
    if (c != '.') spelled += static_cast<char>(convert(static_cast<unsigned char>(c)));
  }
  return spelled;
}

Status Refuse(const std::string& accepted) {
  return {StatusCode::kInvalidArgument, "accepted: " + accepted};
}

Result<int64_t> ParseInteger(const std::string& text, int64_t minimum, int64_t maximum,
                             const std::string& accepted) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < minimum ||
      number > maximum) {
    return Refuse(accepted);
  }
  return number;
}

struct Unit {
  const char* suffix;
  int64_t milliseconds;
};
constexpr Unit kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
// A hundred years: beyond what any setting takes, and far within a Duration.
constexpr int64_t kLongestMilliseconds = 100LL * 366 * 24 * 3'600'000;

Result<Duration> ParseDuration(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string suffix(end, text.data() + text.size());
  for (const Unit& unit : kUnits) {
    if (error == std::errc() && suffix == unit.suffix && number >= 0 &&
        number <= kLongestMilliseconds / unit.milliseconds) {
      return Duration(std::chrono::milliseconds(number * unit.milliseconds));
    }
  }
  return Refuse("a duration such as 500ms, 30s, 5m or 1h");
}

std::string FormatDuration(Duration duration) {
  const int64_t milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  const Unit* best = &kUnits[0];
  for (const Unit& unit : kUnits) {
    if (milliseconds != 0 && milliseconds % unit.milliseconds == 0) best = &unit;
  }
  return std::to_string(milliseconds / best->milliseconds) + best->suffix;
}

std::vector<std::string> SplitCommas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

// A file value that must be JSON text, then goes the way that flags go.
std::function<Status(const json&)> JsonText(std::function<Status(const std::string&)> set_text,
                                            std::string accepted) {
  return [set_text = std::move(set_text), accepted = std::move(accepted)](const json& value) {
    if (!value.is_string()) return Refuse(accepted);
    return set_text(value.get<std::string>());
  };
}

std::string Join(const std::vector<std::string>& words, const char* separator) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : separator) + word;
  return joined;
}

// What Kubernetes sets in every pod of a namespace that has a Service of the daemon's own name.
bool IsServiceLink(const std::string& variable, const std::string& prefix) {
  const std::string rest = variable.substr(prefix.size());
  for (const char* link : {"SERVICE_HOST", "SERVICE_PORT", "PORT"}) {
    if (rest == link || rest.rfind(std::string(link) + "_", 0) == 0) return true;
  }
  return false;
}

// What is not UTF-8 in it is replaced: neither a message nor what is printed may fail.
std::string Printed(const json& value, int indent = -1) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

std::string ValueOf(const std::map<std::string, std::string>& environment,
                    const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

}  // namespace

Options::Options(std::string program, std::string description, std::string environment_prefix)
    : program_(std::move(program)),
      description_(std::move(description)),
      environment_prefix_(std::move(environment_prefix)) {}

template <class T>
void Options::AddOption(Option option, T* value) {
  option.save = [value] { return [value, saved = *value] { *value = saved; }; };
  option.flag = Spell(option.key, '-', ::tolower);
  option.variable = environment_prefix_ + "_" + Spell(option.key, '_', ::toupper);
  options_.push_back(std::move(option));
}

void Options::Add(const std::string& key, const std::string& description, std::string* value) {
  Option option;
  option.key = key;
  option.description = description;
  option.accepted = "text";
  option.set_text = [value](const std::string& text) {
    *value = text;
    return Status::Ok();
  };
  option.set_json = JsonText(option.set_text, option.accepted);
  option.get = [value] { return json(*value); };
  AddOption(std::move(option), value);
}

void Options::Add(const std::string& key, const std::string& description, bool* value) {
  Option option;
  option.key = key;
  option.description = description;
  option.accepted = "true or false";
  option.is_switch = true;
  option.set_text = [value](const std::string& text) {
    if (text != "true" && text != "false") return Refuse("true or false");
    *value = text == "true";
    return Status::Ok();
  };
  option.set_json = [value](const json& in) {
    if (!in.is_boolean()) return Refuse("true or false");
    *value = in.get<bool>();
    return Status::Ok();
  };
  option.get = [value] { return json(*value); };
  AddOption(std::move(option), value);
}

void Options::Add(const std::string& key, const std::string& description,
                  std::vector<std::string>* value) {
  Option option;
  option.key = key;
  option.description = description;
  option.accepted = "a list of texts (separated by commas in flags and variables)";
  option.set_text = [value](const std::string& text) {
    *value = SplitCommas(text);
    return Status::Ok();
  };
  option.set_json = [value, accepted = option.accepted](const json& in) {
    if (!in.is_array()) return Refuse(accepted);
    std::vector<std::string> items;
    for (const json& item : in) {
      if (!item.is_string()) return Refuse(accepted);
      items.push_back(item.get<std::string>());
    }
    *value = std::move(items);
    return Status::Ok();
  };
  option.get = [value] { return json(*value); };
  AddOption(std::move(option), value);
}

void Options::Add(const std::string& key, const std::string& description, int64_t* value,
                  int64_t minimum, int64_t maximum) {
  Option option;
  option.key = key;
  option.description = description;
  option.accepted = "an integer from " + std::to_string(minimum) + " to " + std::to_string(maximum);
  option.set_text = [=, accepted = option.accepted](const std::string& text) {
    const Result<int64_t> number = ParseInteger(text, minimum, maximum, accepted);
    if (!number.ok()) return number.status();
    *value = *number;
    return Status::Ok();
  };
  option.set_json = [set_text = option.set_text, accepted = option.accepted](const json& in) {
    if (!in.is_number_integer()) return Refuse(accepted);
    return set_text(in.dump());
  };
  option.get = [value] { return json(*value); };
  AddOption(std::move(option), value);
}

void Options::Add(const std::string& key, const std::string& description, Duration* value,
                  Duration minimum, Duration maximum) {
  Option option;
  option.key = key;
  option.description = description;
  option.accepted = "a duration from " + FormatDuration(minimum) + " to " + FormatDuration(maximum);
  option.set_text = [=, accepted = option.accepted](const std::string& text) {
    const Result<Duration> duration = ParseDuration(text);
    if (!duration.ok() || *duration < minimum || *duration > maximum) return Refuse(accepted);
    *value = *duration;
    return Status::Ok();
  };
  option.set_json = JsonText(option.set_text, option.accepted);
  option.get = [value] { return json(FormatDuration(*value)); };
  AddOption(std::move(option), value);
}

void Options::AddBytes(const std::string& key, const std::string& description, uint64_t* value) {
  Option option;
  option.key = key;
  option.description = description;
  option.accepted = std::string(kQuantityForm) + ", or " + kUnlimited;
  option.set_text = [value, accepted = option.accepted](const std::string& text) {
    const std::optional<uint64_t> bytes =
        text == kUnlimited ? kUnlimitedBytes : ParseQuantity(text);
    if (!bytes) return Refuse(accepted);
    *value = *bytes;
    return Status::Ok();
  };
  option.set_json = [set_text = option.set_text, accepted = option.accepted](const json& in) {
    if (in.is_number_integer()) return set_text(in.dump());
    if (!in.is_string()) return Refuse(accepted);
    return set_text(in.get<std::string>());
  };
  option.get = [value] {
    return json(*value == kUnlimitedBytes ? kUnlimited : FormatQuantity(*value));
  };
  AddOption(std::move(option), value);
}

void Options::AddChoice(const std::string& key, const std::string& description, std::string* value,
                        const std::vector<std::string>& accepted) {
  Option option;
  option.key = key;
  option.description = description;
  option.accepted = Join(accepted, ", ");
  option.set_text = [value, accepted, words = option.accepted](const std::string& text) {
    if (std::find(accepted.begin(), accepted.end(), text) == accepted.end()) return Refuse(words);
    *value = text;
    return Status::Ok();
  };
  option.set_json = JsonText(option.set_text, option.accepted);
  option.get = [value] { return json(*value); };
  AddOption(std::move(option), value);
}

void Options::AddNodeName(std::string* value) {
  Add(kNodeNameKey,
      "this node, as the API server calls it: chooses the section of the config file; default: "
      "NODE_NAME, then the host's name",
      value);
  has_nodes_ = true;
}

void Options::MarkLive(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    Option* const option = Find(key);
    assert(option != nullptr);
    if (option != nullptr) option->live = true;
  }
}

Options::Option* Options::Find(const std::string& key) {
  const auto found = std::find_if(options_.begin(), options_.end(),
                                  [&](const Option& option) { return option.key == key; });
  return found == options_.end() ? nullptr : &*found;
}

Status Options::ApplyJson(const json& object, const std::string& section, const std::string& prefix,
                          const std::string& path) {
  const auto refuse = [&](const std::string& what) {
    return Status(StatusCode::kInvalidArgument, path + ": " + what);
  };
  for (const auto& [name, value] : object.items()) {
    const std::string key = prefix + name;
    if (Option* const option = Find(key); option != nullptr) {
      if (!section.empty() && key == kNodeNameKey) {
        return refuse(section + key + ": a node's section cannot name the node");
      }
      if (Status set = option->set_json(value); !set.ok()) {
        return refuse(section + key + ": " + Printed(value) + " is not accepted; " + set.message());
      }
      option->origin = "file " + path + (section.empty() ? "" : ", " + section + key);
      continue;
    }
    const bool is_section = std::any_of(options_.begin(), options_.end(), [&](const Option& o) {
      return o.key.compare(0, key.size() + 1, key + ".") == 0;
    });
    if (!is_section) {
      return refuse("unknown key " + section + key + "; " + program_ +
                    " --help lists the settings");
    }
    if (!value.is_object()) return refuse(section + key + " must be an object");
    if (Status nested = ApplyJson(value, section, key + ".", path); !nested.ok()) return nested;
  }
  return Status::Ok();
}

Status Options::ApplyNodes(const json& nodes, const std::string& node_name,
                           const std::string& path) {
  if (!nodes.is_object()) {
    return {StatusCode::kInvalidArgument,
            path + ": nodes must be an object of objects, one for each node that is named"};
  }
  for (const auto& [name, overrides] : nodes.items()) {
    const std::string section = "nodes." + name;
    if (!overrides.is_object()) {
      return {StatusCode::kInvalidArgument, path + ": " + section + " must be an object"};
    }
    std::vector<std::function<void()>> restore;
    restore.reserve(options_.size());
    for (Option& option : options_) {
      restore.push_back([set_back = option.save(), &option, origin = option.origin] {
        set_back();
        option.origin = origin;
      });
    }
    if (Status applied = ApplyJson(overrides, section + ".", "", path); !applied.ok()) {
      return applied;
    }
    if (name == node_name) continue;
    for (const std::function<void()>& set_back : restore) set_back();
  }
  return Status::Ok();
}

Status Options::ApplyFile(const std::string& path, std::string node_name) {
  Result<json> document = ReadConfigFile(path);
  if (!document.ok()) return document.status();
  json nodes = json::object();
  if (has_nodes_ && document->contains("nodes")) {
    nodes = std::move((*document)["nodes"]);
    document->erase("nodes");
  }
  if (Status applied = ApplyJson(*document, "", "", path); !applied.ok()) return applied;
  if (node_name.empty() && has_nodes_) node_name = Find(kNodeNameKey)->get().get<std::string>();
  return ApplyNodes(nodes, node_name, path);
}

Status Options::ApplyEnvironment(const std::map<std::string, std::string>& environment) {
  const std::string prefix = environment_prefix_ + "_";
  for (auto it = environment.lower_bound(prefix);
       it != environment.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
    if (it->first == prefix + "CONFIG") continue;  // names the file; read before
    const auto option = std::find_if(options_.begin(), options_.end(),
                                     [&](const Option& o) { return o.variable == it->first; });
    if (option == options_.end() && IsServiceLink(it->first, prefix)) continue;
    if (option == options_.end()) {
      return {StatusCode::kInvalidArgument, "unknown environment variable " + it->first + "; " +
                                                program_ + " --help lists the settings"};
    }
    if (Status set = option->set_text(it->second); !set.ok()) {
      return {StatusCode::kInvalidArgument,
              it->first + ": '" + it->second + "' is not accepted; " + set.message()};
    }
    option->origin = "environment " + it->first;
  }
  return Status::Ok();
}

std::string Options::Help() const {
  std::string text = "Usage: " + program_ + " [OPTION...]\n" + description_ + "\n\nOptions:\n";
  for (const Option& option : options_) {
    text += "  --" + option.flag + (option.is_switch ? "[=true|false]" : "=VALUE") + "\n      " +
            option.description + "\n      " + option.accepted + "; default " + option.get().dump() +
            "\n";
  }
  text +=
      "  --config=FILE\n      JSON file of the same settings, nested at the dots of their keys\n"
      "  --print-config[=origins]\n      print the settings in force as that file, or each with "
      "where it is from, and exit\n"
      "  --version\n  --help\n\n"
      "The variable of --" +
      options_.front().flag + " is " + options_.front().variable + ", its key in the file " +
      options_.front().key + ";\nthe others follow.\n";
  if (!has_nodes_) {
    return text + "Highest first: flag, environment, config file, default.\n";
  }
  return text +
         "Highest first: flag, environment, the config file's section for this node, the rest of "
         "the file, default.\n"
         "The section of node-a is {\"nodes\": {\"node-a\": {...}}}, with the same keys.\n"
         "SIGHUP reads the file again: what can be changed is, the rest is logged as needing a "
         "restart.\n";
}

Status Options::ApplyFlag(Option& option, const std::string& value) {
  if (Status set = option.set_text(value); !set.ok()) {
    return {StatusCode::kInvalidArgument,
            "--" + option.flag + ": '" + value + "' is not accepted; " + set.message()};
  }
  option.origin = "flag --" + option.flag;
  return Status::Ok();
}

Result<Parsed> Options::Parse(int argc, const char* const* argv,
                              const std::map<std::string, std::string>& environment) {
  const std::string help = Help();  // before any value replaces a default
  CLI::App app;
  app.set_help_flag();
  std::string config_file;
  std::string print_config;
  bool show_help = false, show_version = false;
  app.add_flag("-h,--help", show_help);
  app.add_flag("--version", show_version);
  CLI::Option* const print = app.add_option("--print-config", print_config)->expected(0, 1);
  app.add_option("--config", config_file);
  std::vector<std::string> flag_values(options_.size());
  std::vector<CLI::Option*> flags;
  for (size_t i = 0; i < options_.size(); ++i) {
    CLI::Option* flag = app.add_option("--" + options_[i].flag, flag_values[i]);
    if (options_[i].is_switch) flag->expected(0, 1);
    flags.push_back(flag);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return Status(StatusCode::kInvalidArgument,
                  std::string(error.what()) + "; " + program_ + " --help lists the settings");
  }
  if (show_help) return Parsed{true, help};
  if (show_version) return Parsed{true, program_ + " " + NPU_IPC_VERSION + "\n"};

  std::string node_name;  // unless the file is to say it
  if (Option* const option = has_nodes_ ? Find(kNodeNameKey) : nullptr; option != nullptr) {
    const std::string value = flag_values[static_cast<size_t>(option - options_.data())];
    const std::string inherited = ValueOf(environment, kNodeNameVariable);
    node_name = !value.empty() ? value : ValueOf(environment, option->variable);
    if (node_name.empty()) node_name = inherited;
    if (Status set = option->set_text(HostName()); !set.ok()) return set;
    option->origin = "host's name";
  }
  if (config_file.empty()) config_file = ValueOf(environment, environment_prefix_ + "_CONFIG");
  if (!config_file.empty()) {
    if (Status read = ApplyFile(config_file, node_name); !read.ok()) return read;
  }
  if (!node_name.empty()) {
    Option& option = *Find(kNodeNameKey);
    if (Status set = option.set_text(node_name); !set.ok()) return set;
    option.origin = std::string("environment ") + kNodeNameVariable;
  }
  if (Status applied = ApplyEnvironment(environment); !applied.ok()) return applied;
  for (size_t i = 0; i < options_.size(); ++i) {
    if (flags[i]->count() == 0) continue;
    const bool bare_switch = options_[i].is_switch && flag_values[i].empty();
    if (Status set = ApplyFlag(options_[i], bare_switch ? "true" : flag_values[i]); !set.ok()) {
      return set;
    }
  }
  if (print->count() == 0) return Parsed{};
  if (print_config.empty()) return Parsed{true, Printed(Effective(), 2) + "\n"};
  if (print_config == "origins") return Parsed{true, Origins()};
  return Status(StatusCode::kInvalidArgument,
                "--print-config: '" + print_config + "' is not accepted; accepted: origins");
}

std::string Options::Origins() const {
  std::string text;
  for (const Option& option : options_) {
    text += option.key + " = " + Printed(option.get()) + "  (" + option.origin + ")\n";
  }
  return text;
}

Changes Options::Adopt(const Options& in_force) {
  Changes changes;
  for (Option& option : options_) {
    const auto before = std::find_if(in_force.options_.begin(), in_force.options_.end(),
                                     [&](const Option& o) { return o.key == option.key; });
    if (before == in_force.options_.end() || option.get() == before->get()) continue;
    const std::string change =
        option.key + ": " + Printed(before->get()) + " -> " + Printed(option.get());
    (option.live ? changes.live : changes.restart).push_back(change);
    if (option.live) continue;
    // Accepted before, so accepted again.
    if (Status kept = option.set_json(before->get()); kept.ok()) option.origin = before->origin;
  }
  return changes;
}

json Options::Effective() const {
  json all = json::object();
  for (const Option& option : options_) {
    std::string pointer = "/" + option.key;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    all[json::json_pointer(pointer)] = option.get();
  }
  return all;
}

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return environment;
}

}  // namespace npu_ipc::config
