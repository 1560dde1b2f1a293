#include "plugin/kubectl/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "hal/base/posix_error.h"
#include "plugin/kubectl/fields.h"

namespace npu_ipc::kubectl {
namespace {

using Json = nlohmann::json;

constexpr const char* kTopics[] = {"version", "devices", "pods", "shares", "audit", "events"};
constexpr char kLeftOut[] = "<left out>";
// Keys have 64 hexadecimal digits; tokens and certificates are longer still. Uids and container ids
// that are shorter, or 64 digits, are of no use to whoever helps.
constexpr size_t kSecretDigits = 40;

// A directory that goes when this does.
class Workspace {
 public:
  static Result<Workspace> Make() {
    std::string name = std::filesystem::temp_directory_path() / "npu-ipc-bundle.XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) return PosixError(errno, "make a directory " + name);
    return Workspace(std::move(name));
  }
  explicit Workspace(std::string path) : path_(std::move(path)) {}
  Workspace(Workspace&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

  // `name` may have directories in it.
  void Write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = std::filesystem::path(path_) / "npu-ipc-bundle" / name;
    std::error_code ignored;
    std::filesystem::create_directories(file.parent_path(), ignored);
    std::ofstream(file) << text;
  }

 private:
  std::string path_;
};

// Whatever node names may hold, it is one file's name.
std::string FileName(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '.' && c != '_'; },
      '_');
  return text.starts_with('.') ? "_" + text : text;
}

std::string Pretty(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json RedactNode(const Json& node) {
  Json labels = Json::object();
  for (const auto& [name, value] : Field(node, "metadata", "labels").items()) {
    if (name.starts_with("npu-ipc.io/") || name.starts_with("kubernetes.io/")) labels[name] = value;
  }
  return {{"name", Text(Field(node, "metadata"), "name")},
          {"labels", std::move(labels)},
          {"allocatable", Field(node, "status", "allocatable")},
          {"capacity", Field(node, "status", "capacity")},
          {"nodeInfo", Field(node, "status", "nodeInfo")},
          {"conditions", Field(node, "status", "conditions")}};
}

class Bundle {
 public:
  Bundle(const Fleet& fleet, const Workspace& workspace) : fleet_(fleet), workspace_(workspace) {}

  void AddDocuments(const std::vector<DaemonPod>& daemons) {
    for (const char* const topic : kTopics) {
      for (const NodeAnswer& answer : fleet_.Ask(daemons, {topic})) {
        const std::string name = "nodes/" + FileName(answer.daemon.node) + "/" + topic + ".json";
        if (answer.problem.empty()) {
          Add(name, Pretty(answer.document));
        } else {
          problems_ += name + ": " + answer.problem + "\n";
        }
      }
    }
  }

  void AddLogs(const std::vector<DaemonPod>& daemons) {
    std::vector<Command> commands;
    std::vector<std::string> names;
    for (const DaemonPod& daemon : daemons) {
      for (const char* const container : {kBrokerContainer, kPluginContainer}) {
        if (container == kPluginContainer && !daemon.has_device_plugin) continue;
        commands.push_back(
            fleet_.Call({"logs", "--namespace=" + daemon.pod_namespace, daemon.name,
                         "--container=" + std::string(container), "--tail=5000", "--timestamps"}));
        names.push_back("nodes/" + FileName(daemon.node) + "/" + container + ".log");
      }
    }
    const std::vector<Outcome> outcomes = RunAll(commands, fleet_.options().parallel);
    for (size_t i = 0; i < outcomes.size(); ++i) {
      AddOutcome(names[i], outcomes[i], RedactText(outcomes[i].output));
    }
  }

  void AddCluster() {
    AddOutcome("kubernetes-version.json", Run(fleet_.Call({"version", "-o", "json"})));
    const Result<Json> nodes = fleet_.CallForJson({"get", "nodes", "-o", "json"});
    Json list = Json::array();
    if (!nodes.ok()) problems_ += "nodes.json: " + nodes.status().message() + "\n";
    if (nodes.ok()) {
      for (const Json& node : Field(*nodes, "items")) list.push_back(RedactNode(node));
      Add("nodes.json", Pretty(list));
    }
    const Result<Json> pods = fleet_.CallForJson(
        {"get", "pods", "-o", "json", "-l", kDaemonSelector, "--all-namespaces"});
    if (!pods.ok()) {
      problems_ += "daemon-pods.json: " + pods.status().message() + "\n";
      return;
    }
    Json daemons = Json::array();
    for (const Json& pod : Field(*pods, "items")) daemons.push_back(RedactPod(pod));
    Add("daemon-pods.json", Pretty(daemons));
  }

  void Finish() { Add("problems", problems_); }

 private:
  void Add(const std::string& name, const std::string& text) { workspace_.Write(name, text); }
  void AddOutcome(const std::string& name, const Outcome& outcome) {
    AddOutcome(name, outcome, outcome.output);
  }
  void AddOutcome(const std::string& name, const Outcome& outcome, const std::string& text) {
    if (!text.empty()) Add(name, text);
    if (outcome.ok()) return;
    problems_ += name + ": " + (outcome.problem.empty() ? outcome.error : outcome.problem) + "\n";
  }

  const Fleet& fleet_;
  const Workspace& workspace_;
  std::string problems_;
};

std::string DefaultName() {
  const time_t now = ::time(nullptr);
  tm parts = {};
  ::gmtime_r(&now, &parts);
  char text[64];
  const size_t bytes =
      ::strftime(text, sizeof(text), "npu-ipc-bundle-%Y%m%dT%H%M%SZ.tar.gz", &parts);
  return {text, bytes};
}

}  // namespace

std::string RedactText(const std::string& text) {
  std::string redacted;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 ||
                                 text[end] == '_' || text[end] == '+' || text[end] == '=')) {
      ++end;
    }
    if (end - at >= kSecretDigits) {
      redacted += kLeftOut;
    } else {
      redacted.append(text, at, end - at);
    }
    if (end < text.size()) redacted += text[end++];
    at = end;
  }
  return redacted;
}

Json RedactPod(Json pod) {
  if (!pod.is_object()) return pod;
  Json& metadata = pod["metadata"];
  if (metadata.is_object()) {
    metadata.erase("managedFields");
    Json kept = Json::object();
    for (const auto& [name, value] : Field(metadata, "annotations").items()) {
      if (name.starts_with("npu-ipc.io/")) kept[name] = value;
    }
    metadata["annotations"] = std::move(kept);
  }
  for (const char* const list : {"containers", "initContainers", "ephemeralContainers"}) {
    if (!Field(pod, "spec", list).is_array()) continue;
    for (Json& container : pod["spec"][list]) {
      if (!Field(container, "env").is_array()) continue;
      for (Json& variable : container["env"]) {
        if (variable.is_object() && variable.contains("value")) variable["value"] = kLeftOut;
      }
    }
  }
  return pod;
}

Status WriteBundle(const Fleet& fleet, const std::string& file, std::ostream& out) {
  const Result<std::vector<DaemonPod>> daemons = fleet.FindDaemons();
  if (!daemons.ok()) return daemons.status();
  const Result<Workspace> workspace = Workspace::Make();
  if (!workspace.ok()) return workspace.status();
  Bundle bundle(fleet, *workspace);
  bundle.AddDocuments(*daemons);
  bundle.AddLogs(*daemons);
  bundle.AddCluster();
  bundle.Finish();
  const std::string name = file.empty() ? DefaultName() : file;
  const Outcome packed = Run({{"tar", "--create", "--gzip", "--file", name, "--directory",
                               workspace->path(), "--", "npu-ipc-bundle"},
                              std::chrono::minutes(10)});
  if (!packed.ok()) {
    return {StatusCode::kUnavailable, "cannot write " + name + ": " +
                                          (packed.problem.empty() ? packed.error : packed.problem)};
  }
  out << "wrote " << name << "\n";
  return Status::Ok();
}

}  // namespace npu_ipc::kubectl
