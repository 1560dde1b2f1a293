#include "plugin/kubectl/doctor.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "plugin/kubectl/fields.h"
#include "plugin/pods/policy.h"

namespace npu_ipc::kubectl {
namespace {

using Json = nlohmann::json;

constexpr char kInjectAnnotation[] = "npu-ipc.io/inject";
constexpr char kPreloadLibrary[] = "libnpu_ipc_preload.so";
// Of each pod a line: its parts, with tabs in between. The labels are JSON; the annotation may hold
// anything and is the last.
constexpr char kMemberLines[] =
    R"(jsonpath={range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{"\t"})"
    R"({.spec.nodeName}{"\t"}{.status.phase}{"\t"}{.metadata.labels}{"\t"})"
    R"({.metadata.annotations.npu-ipc\.io/group}{"\n"}{end})";

Json Step(const char* name, const char* status, const std::string& message,
          const std::string& remedy = "") {
  return {{"name", name}, {"status", status}, {"message", message}, {"remedy", remedy}};
}

std::string FullName(const Json& pod) {
  const Json& metadata = Field(pod, "metadata");
  return Text(metadata, "namespace") + "/" + Text(metadata, "name");
}

// Why the scheduler, or the kubelet, has not started it.
std::string ConditionMessage(const Json& pod) {
  for (const Json& condition : Field(pod, "status", "conditions")) {
    if (Text(condition, "status") != "False") continue;
    const std::string message = Text(condition, "message");
    if (!message.empty()) return message;
  }
  return Text(Field(pod, "status"), "message");
}

bool AsksFor(const Json& container, const std::string& resource) {
  for (const char* const part : {"limits", "requests"}) {
    if (Field(container, "resources", part).contains(resource)) return true;
  }
  return false;
}

bool Preloads(const Json& container) {
  for (const Json& variable : Field(container, "env")) {
    if (Text(variable, "name") == "LD_PRELOAD" &&
        Text(variable, "value").find(kPreloadLibrary) != std::string::npos) {
      return true;
    }
  }
  return false;
}

template <class Predicate>
bool AnyContainer(const Json& pod, Predicate predicate) {
  for (const char* const list : {"containers", "initContainers"}) {
    const Json& containers = Field(pod, "spec", list);
    if (std::any_of(containers.begin(), containers.end(), predicate)) return true;
  }
  return false;
}

// Empty where it is none.
Json ReadObject(const std::string& text) {
  Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return object.is_object() ? object : Json::object();
}

std::vector<std::string> Names(const Json& list) {
  std::vector<std::string> names;
  for (const Json& name : list) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

bool Contains(const Json& list, const char* text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// What keeps a container's processes from opening what is not theirs; empty where nothing does.
std::string WithoutRootsAccess(const Json& pod, const Json& container) {
  const Json& own = Field(container, "securityContext");
  auto user = Number(own, "runAsUser");
  if (!user) user = Number(Field(pod, "spec", "securityContext"), "runAsUser");
  const std::string name = "container " + Text(container, "name");
  if (user.value_or(0) != 0) return name + " runs as user " + std::to_string(*user);
  const Json& dropped = Field(own, "capabilities", "drop");
  const bool drops = Contains(dropped, "ALL") || Contains(dropped, "DAC_OVERRIDE");
  if (drops && !Contains(Field(own, "capabilities", "add"), "DAC_OVERRIDE")) {
    return name + " has dropped the capability DAC_OVERRIDE";
  }
  return "";
}

bool Passed(const Json& steps, const std::string& name) {
  return std::any_of(steps.begin(), steps.end(), [&](const Json& step) {
    return Text(step, "name") == name && Text(step, "status") == "Ok";
  });
}

// A line of kMemberLines as a member of one of `groups`; null where it is none.
Json ReadMember(const std::string& line, const std::vector<std::string>& groups) {
  std::istringstream parts(line);
  pods::Pod pod;
  std::string node;
  std::string phase;
  std::string labels;
  for (std::string* const part : {&pod.pod_namespace, &pod.name, &node, &phase, &labels}) {
    std::getline(parts, *part, '\t');
  }
  std::string& annotation = pod.annotations[std::string(pods::kGroupAnnotation)];
  std::getline(parts, annotation);
  if (annotation.empty()) return nullptr;
  const Json of_pod = ReadObject(labels);
  for (const auto& [key, value] : of_pod.items()) {
    if (value.is_string()) pod.labels[key] = value.get<std::string>();
  }
  const Result<pods::SharePolicy> policy = pods::ParsePolicy(pod);
  if (!policy.ok()) return nullptr;
  for (const pods::Membership& membership : policy->groups) {
    const std::string group = membership.group.Text();
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) continue;
    return {{"group", group},  {"namespace", pod.pod_namespace},
            {"pod", pod.name}, {"node", node},
            {"phase", phase},  {"role", std::string(pods::RoleName(membership.role))}};
  }
  return nullptr;
}

// The members of the pod's groups on other nodes: what explains most "no exporter on this node".
Json MembersElsewhere(const Fleet& fleet, const std::string& node,
                      const std::vector<std::string>& groups, const std::string& pod_namespace) {
  Json members = Json::array();
  if (groups.empty()) return members;
  Result<std::string> pods =
      fleet.CallForText({"get", "pods", "--all-namespaces", "-o", kMemberLines});
  if (!pods.ok()) {  // not everybody may list every namespace
    pods = fleet.CallForText({"get", "pods", "--namespace=" + pod_namespace, "-o", kMemberLines});
  }
  if (!pods.ok()) return members;
  std::istringstream lines(*pods);
  for (std::string line; std::getline(lines, line);) {
    Json member = ReadMember(line, groups);
    if (!member.is_null() && Text(member, "node") != node) members.push_back(std::move(member));
  }
  return members;
}

Json DaemonStep(const NodeAnswer& answer) {
  const DaemonPod& daemon = answer.daemon;
  const std::string pod = "pod " + daemon.pod_namespace + "/" + daemon.name;
  if (answer.problem.empty() && daemon.ready) return Step("daemon", "Ok", pod + " runs");
  if (answer.problem.empty()) {
    return Step("daemon", "Failed", pod + " runs, and its broker is not ready",
                "`kubectl get --raw /api/v1/namespaces/" + daemon.pod_namespace + "/pods/" +
                    daemon.name + ":" + std::to_string(daemon.http_port) +
                    "/proxy/readyz` names the part that is not");
  }
  return Step("daemon", "Failed", pod + " on node " + daemon.node + ": " + answer.problem,
              "look at `kubectl describe " + pod +
                  "` and at its logs; what is shared already goes "
                  "on meanwhile");
}

std::vector<std::string> SplitPod(const std::string& pod) {
  const size_t slash = pod.find('/');
  if (slash == std::string::npos) return {pod};
  return {pod.substr(0, slash), pod.substr(slash + 1)};
}

}  // namespace

const Json* Diagnosis::Stop() const {
  const auto failed = std::find_if(steps.begin(), steps.end(), [](const Json& step) {
    return Text(step, "status") == "Failed";
  });
  return failed == steps.end() ? nullptr : &*failed;
}

Json ScheduledStep(const Json& pod) {
  const std::string node = Text(Field(pod, "spec"), "nodeName");
  const std::string phase = Text(Field(pod, "status"), "phase");
  const std::string why = ConditionMessage(pod);
  const std::string reason = why.empty() ? "" : ": " + why;
  if (node.empty()) {
    return Step("scheduled", "Failed", "no node has been found for it" + reason,
                "where NPUs or npu-ipc.io/share are what is insufficient, see "
                "`kubectl npu devices` for who holds them");
  }
  if (phase == "Running") return Step("scheduled", "Ok", "runs on node " + node);
  return Step("scheduled", "Failed", "it is " + phase + " on node " + node + reason,
              phase == "Pending" ? "look at its events: `kubectl describe pod`"
                                 : "it has ended: nothing of it shares any more");
}

Json InjectedStep(const Json& pod, const std::vector<std::string>& resources, bool connected) {
  const std::string inject = Text(Field(pod, "metadata", "annotations"), kInjectAnnotation);
  if (connected) return Step("injected", "Ok", "a process of it has found the broker");
  const bool asks = AnyContainer(pod, [&](const Json& container) {
    return std::any_of(resources.begin(), resources.end(),
                       [&](const std::string& resource) { return AsksFor(container, resource); });
  });
  std::string names;
  for (const std::string& resource : resources) names += (names.empty() ? "" : ", ") + resource;
  if (!asks) {
    return Step("injected", resources.empty() ? "Unknown" : "Failed",
                "no container of it asks for " +
                    (names.empty() ? "a resource that comes with the library" : names) +
                    ", with which it would be given the library and the socket",
                "add `npu-ipc.io/share: 1` to the container's resources.limits");
  }
  if (inject == "preload" && !AnyContainer(pod, Preloads)) {
    return Step("injected", "Failed",
                "it asks for inject: preload, and no container of it has LD_PRELOAD set to " +
                    std::string(kPreloadLibrary),
                "see that the chart's MutatingAdmissionPolicy is installed and make the pod anew, "
                "or set LD_PRELOAD in the pod by hand");
  }
  return Step("injected", "Ok", "its containers are given the library and the socket");
}

std::optional<Json> DeviceNodesStep(const Json& pod) {
  std::string why;
  const Json& host_users = Field(pod, "spec", "hostUsers");
  if (host_users.is_boolean() && !host_users.get<bool>()) {
    why = "its user ids are not the node's (hostUsers: false)";
  }
  for (const Json& container : Field(pod, "spec", "containers")) {
    if (why.empty()) why = WithoutRootsAccess(pod, container);
  }
  if (why.empty()) return std::nullopt;
  return Step("device-nodes", "Unknown",
              why +
                  ": /dev/davinci* must be 0666 on the node; where they are 0660, the driver's "
                  "default, aclrtSetDevice fails");
}

Result<Diagnosis> DiagnosePod(const Fleet& fleet, const std::string& argument) {
  const std::vector<std::string> parts = SplitPod(argument);
  const Result<std::string> pod_namespace =
      parts.size() == 2 ? Result<std::string>(parts[0]) : fleet.Namespace();
  if (!pod_namespace.ok()) return pod_namespace.status();
  const Result<Json> pod = fleet.CallForJson(
      {"get", "pod", parts.back(), "--namespace=" + *pod_namespace, "-o", "json"});
  if (!pod.ok()) return pod.status();

  Diagnosis diagnosis;
  diagnosis.subject = "pod " + FullName(*pod);
  diagnosis.node = Text(Field(*pod, "spec"), "nodeName");
  diagnosis.steps.push_back(ScheduledStep(*pod));
  if (diagnosis.node.empty()) return diagnosis;

  Options of_node = fleet.options();
  of_node.node = diagnosis.node;
  const Fleet on_node(of_node);
  const Result<std::vector<DaemonPod>> daemons = on_node.FindDaemons();
  if (!daemons.ok()) {
    diagnosis.steps.push_back(Step("daemon", "Failed", daemons.status().message(),
                                   "install npu-ipc, or see that its DaemonSet's node selector and "
                                   "tolerations let it run on node " +
                                       diagnosis.node));
    return diagnosis;
  }
  const NodeAnswer answer = on_node.Ask(*daemons, {"doctor", FullName(*pod)}).front();
  diagnosis.steps.push_back(DaemonStep(answer));
  if (!answer.problem.empty()) return diagnosis;

  const Json& steps = Field(answer.document, "steps");
  for (const Json& step : steps) {
    if (Text(step, "name") == "connected") {
      diagnosis.steps.push_back(InjectedStep(*pod, Names(Field(answer.document, "resources")),
                                             Passed(steps, "connected")));
      // Who shares has opened them.
      const std::optional<Json> device_nodes = DeviceNodesStep(*pod);
      if (device_nodes && !Passed(steps, "whitelisted")) diagnosis.steps.push_back(*device_nodes);
    }
    diagnosis.steps.push_back(step);
  }
  for (Json member : Field(answer.document, "members")) {
    member["node"] = diagnosis.node;
    diagnosis.members.push_back(std::move(member));
  }
  for (Json& member : MembersElsewhere(fleet, diagnosis.node,
                                       Names(Field(answer.document, "groups")), *pod_namespace)) {
    diagnosis.members.push_back(std::move(member));
  }
  return diagnosis;
}

Result<std::vector<Diagnosis>> DiagnoseNodes(const Fleet& fleet) {
  const Result<std::vector<DaemonPod>> daemons = fleet.FindDaemons();
  if (!daemons.ok()) return daemons.status();
  std::vector<Diagnosis> diagnoses;
  for (const NodeAnswer& answer : fleet.Ask(*daemons, {"doctor"})) {
    Diagnosis diagnosis;
    diagnosis.subject = "node " + answer.daemon.node;
    diagnosis.node = answer.daemon.node;
    diagnosis.steps.push_back(DaemonStep(answer));
    for (const Json& step : Field(answer.document, "steps")) diagnosis.steps.push_back(step);
    diagnoses.push_back(std::move(diagnosis));
  }
  return diagnoses;
}

void PrintDiagnosis(const Diagnosis& diagnosis, std::ostream& out) {
  out << diagnosis.subject << "\n";
  for (const Json& step : diagnosis.steps) {
    const std::string status = Text(step, "status");
    const char* const mark = status == "Ok" ? "ok  " : status == "Failed" ? "FAIL" : "-   ";
    const std::string name = Text(step, "name");
    out << "  " << mark << "  " << name << std::string(15 - std::min<size_t>(14, name.size()), ' ')
        << Text(step, "message") << "\n";
    const std::string remedy = Text(step, "remedy");
    if (status == "Failed" && !remedy.empty()) out << "        -> " << remedy << "\n";
  }
  if (diagnosis.members.empty()) return;
  out << "  other members of its groups:\n";
  for (const Json& member : diagnosis.members) {
    const std::string node = Text(member, "node");
    const auto regions = Number(member, "regions");
    out << "        " << Text(member, "group") << "   " << Text(member, "namespace") << "/"
        << Text(member, "pod") << " (" << Text(member, "role") << ")   "
        << (node.empty() ? "on no node yet"
            : node == diagnosis.node
                ? "on this node, " + std::to_string(regions.value_or(0)) + " published"
                : "on node " + node + ": out of reach")
        << "\n";
  }
}

Json ToJson(const Diagnosis& diagnosis) {
  const Json* const stop = diagnosis.Stop();
  return {{"subject", diagnosis.subject},
          {"node", diagnosis.node},
          {"steps", diagnosis.steps},
          {"members", diagnosis.members},
          {"stopsAt", stop == nullptr ? "" : Text(*stop, "name")}};
}

}  // namespace npu_ipc::kubectl
