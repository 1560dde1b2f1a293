#include "plugin/kubectl/fleet.h"

#include <stdlib.h>

#include <algorithm>
#include <utility>

#include "plugin/admin/schema.h"
#include "plugin/kubectl/fields.h"

namespace npu_ipc::kubectl {
namespace {

using Json = nlohmann::json;

constexpr size_t kErrorShown = 400;

// kubectl says much before what matters: its last line is the reason.
std::string LastLine(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  const size_t end_of_line = text.rfind('\n');
  if (end_of_line != std::string::npos) text.erase(0, end_of_line + 1);
  if (text.size() > kErrorShown) text.resize(kErrorShown);
  return text;
}

std::string Failure(const Outcome& outcome) {
  if (!outcome.problem.empty()) return outcome.problem;
  const std::string said = LastLine(outcome.error);
  return said.empty() ? "kubectl ended with exit code " + std::to_string(outcome.exit_code) : said;
}

bool HasContainer(const Json& pod, const char* name) {
  const Json& containers = Field(pod, "spec", "containers");
  return std::any_of(containers.begin(), containers.end(),
                     [&](const Json& container) { return Text(container, "name") == name; });
}

// Why the broker's container does not run; empty where it does.
std::string BrokerProblem(const Json& pod) {
  for (const Json& status : Field(pod, "status", "containerStatuses")) {
    if (Text(status, "name") != kBrokerContainer) continue;
    const Json& state = Field(status, "state");
    if (state.contains("running")) return "";
    for (const char* const why : {"waiting", "terminated"}) {
      if (!state.contains(why)) continue;
      const std::string reason = Text(Field(state, why), "reason");
      return "container npu-ipc-broker is " + std::string(why) +
             (reason.empty() ? "" : " (" + reason + ")");
    }
  }
  return "its pod is " + Text(Field(pod, "status"), "phase");
}

// What is not said is taken for well.
bool BrokerIsReady(const Json& pod) {
  for (const Json& status : Field(pod, "status", "containerStatuses")) {
    if (Text(status, "name") != kBrokerContainer) continue;
    const Json& ready = Field(status, "ready");
    return !ready.is_boolean() || ready.get<bool>();
  }
  return true;
}

int64_t BrokerPort(const Json& pod) {
  for (const Json& container : Field(pod, "spec", "containers")) {
    if (Text(container, "name") != kBrokerContainer) continue;
    for (const Json& port : Field(container, "ports")) {
      if (Text(port, "name") == "http") return Number(port, "containerPort").value_or(0);
    }
  }
  return 0;
}

}  // namespace

Result<Json> ReadDocument(const Outcome& outcome) {
  if (!outcome.ok()) return Status(StatusCode::kUnavailable, Failure(outcome));
  Json document = Json::parse(outcome.output, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return Status(StatusCode::kUnavailable, "the broker's answer is no JSON document");
  }
  const std::string version = Text(document, "apiVersion");
  if (version == admin::kApiVersion) return document;
  return Status(StatusCode::kUnavailable, "the broker answers in version '" + version +
                                              "', and this plugin reads " + admin::kApiVersion +
                                              ": use the plugin of the broker's release");
}

std::vector<DaemonPod> ReadDaemonPods(const Json& pods) {
  std::vector<DaemonPod> daemons;
  for (const Json& pod : Field(pods, "items")) {
    const std::string node = Text(Field(pod, "spec"), "nodeName");
    if (node.empty() || !HasContainer(pod, kBrokerContainer)) continue;
    const Json& metadata = Field(pod, "metadata");
    daemons.push_back({Text(metadata, "namespace"), Text(metadata, "name"), node,
                       BrokerProblem(pod), HasContainer(pod, kPluginContainer), BrokerIsReady(pod),
                       BrokerPort(pod)});
  }
  // While a DaemonSet's pod is replaced there are two: the one that runs counts.
  std::stable_sort(daemons.begin(), daemons.end(), [](const DaemonPod& a, const DaemonPod& b) {
    return std::pair(a.node, !a.problem.empty()) < std::pair(b.node, !b.problem.empty());
  });
  const auto end = std::unique(daemons.begin(), daemons.end(),
                               [](const auto& a, const auto& b) { return a.node == b.node; });
  daemons.erase(end, daemons.end());
  return daemons;
}

Command Fleet::Call(const std::vector<std::string>& arguments) const {
  const char* const program = ::getenv("KUBECTL");
  Command command;
  command.arguments = {program != nullptr && *program != '\0' ? program : "kubectl"};
  command.arguments.insert(command.arguments.end(), options_.kubectl_flags.begin(),
                           options_.kubectl_flags.end());
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.timeout = options_.timeout;
  return command;
}

Result<std::string> Fleet::CallForText(const std::vector<std::string>& arguments) const {
  Outcome outcome = Run(Call(arguments));
  if (!outcome.ok()) return Status(StatusCode::kUnavailable, Failure(outcome));
  return std::move(outcome.output);
}

Result<Json> Fleet::CallForJson(const std::vector<std::string>& arguments) const {
  const Result<std::string> text = CallForText(arguments);
  if (!text.ok()) return text.status();
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) return json;
  return Status(StatusCode::kUnavailable, "kubectl " + arguments[0] + " printed no JSON object");
}

Result<std::vector<DaemonPod>> Fleet::FindDaemons() const {
  std::vector<std::string> get = {"get", "pods", "-o", "json", "-l", kDaemonSelector};
  if (options_.daemon_namespace.empty()) {
    get.emplace_back("--all-namespaces");
  } else {
    get.push_back("--namespace=" + options_.daemon_namespace);
  }
  if (!options_.node.empty()) get.push_back("--field-selector=spec.nodeName=" + options_.node);
  const Result<Json> pods = CallForJson(get);
  if (!pods.ok()) return pods.status();
  std::vector<DaemonPod> daemons = ReadDaemonPods(*pods);
  if (!options_.node.empty()) {
    std::erase_if(daemons, [&](const DaemonPod& daemon) { return daemon.node != options_.node; });
  }
  if (!daemons.empty()) return daemons;
  return Status(
      StatusCode::kNotFound,
      "npu-ipc does not run" +
          (options_.node.empty() ? std::string() : " on node " + options_.node) +
          ": there is no pod with the label " + kDaemonSelector + " and a container " +
          kBrokerContainer +
          (options_.daemon_namespace.empty() ? std::string()
                                             : " in namespace " + options_.daemon_namespace));
}

std::vector<NodeAnswer> Fleet::Ask(const std::vector<DaemonPod>& daemons,
                                   const std::vector<std::string>& query) const {
  std::vector<NodeAnswer> answers;
  std::vector<Command> commands;
  std::vector<size_t> asked;
  for (const DaemonPod& daemon : daemons) {
    answers.push_back({daemon, nullptr, daemon.problem});
    if (!daemon.problem.empty()) continue;
    asked.push_back(answers.size() - 1);
    std::vector<std::string> exec = {"exec",      "--namespace=" + daemon.pod_namespace,
                                     daemon.name, "--container=" + std::string(kBrokerContainer),
                                     "--",        "npu-ipc-broker",
                                     "query"};
    exec.insert(exec.end(), query.begin(), query.end());
    commands.push_back(Call(exec));
  }
  const std::vector<Outcome> outcomes = RunAll(commands, options_.parallel);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    NodeAnswer& answer = answers[asked[i]];
    Result<Json> document = ReadDocument(outcomes[i]);
    if (document.ok()) {
      answer.document = std::move(*document);
    } else {
      answer.problem = document.status().message();
    }
  }
  return answers;
}

Result<std::string> Fleet::Namespace() const {
  if (!options_.pod_namespace.empty()) return options_.pod_namespace;
  Result<std::string> current =
      CallForText({"config", "view", "--minify", "-o", "jsonpath={..namespace}"});
  if (!current.ok()) return current.status();
  return current->empty() ? "default" : *current;
}

}  // namespace npu_ipc::kubectl
