// The way of one pod to a share, step by step, as far as the node's broker sees it.
#include <algorithm>
#include <optional>
#include <set>

#include "plugin/admin/doctor_steps.h"
#include "plugin/admin/document.h"
#include "plugin/admin/documents.h"
#include "plugin/pods/share_decision.h"

namespace npu_ipc::admin {
namespace {

using broker::ShareSnapshot;
using Json = nlohmann::json;

Finding PodKnownStep(const PodView& view) {
  if (view.pod != nullptr) return Ok("uid " + view.pod->uid);
  const pods::DirectoryState& directory = view.node.pod_directory;
  const std::string knows = "the broker of node " + view.node.node + " does not know pod " +
                            view.name + " among its " + Count(directory.pods, "pod");
  if (!directory.ready) {
    return Failed(knows + ": " + directory.problem,
                  "see that the broker's service account may list and watch pods");
  }
  return Failed(knows, "see that the pod runs on this node, and is not Completed or Failed");
}

Finding AnnotatedStep(const PodView& view) {
  if (view.pod == nullptr) return Skipped("the pod is not known");
  if (view.policy.ok()) return Ok("groups " + pods::GroupNames(*view.pod, *view.policy));
  if (view.policy.status().code() == StatusCode::kNotFound) {
    return Failed("the pod has no annotation npu-ipc.io/group, and so shares nothing",
                  "add `npu-ipc.io/group: GROUP` to the pod's (or its template's) annotations");
  }
  return Failed(view.policy.status().message(),
                "correct the annotation; until then the pod shares nothing");
}

Finding ConnectedStep(const PodView& view) {
  const auto connected = static_cast<size_t>(std::count_if(
      view.processes.begin(), view.processes.end(), [](const auto* p) { return p->connected; }));
  if (connected > 0) return Ok(Count(connected, "process", "processes"));
  if (!view.processes.empty()) {
    return Failed("its processes have lost their connections" + view.LastRefusal(),
                  "a program that runs comes back by itself; see that it does run");
  }
  return Failed("no process of the pod is connected to the broker" + view.LastRefusal(),
                "see that the program calls npu_ipc_open() or is started with the preload "
                "library, and that the container was given the socket's directory");
}

Finding IdentifiedStep(const PodView& view) {
  if (view.processes.empty()) return Skipped("no process is connected");
  std::set<std::string> containers;
  for (const ShareSnapshot::Process* const process : view.processes) {
    const broker::ClientInfo& info = process->info;
    containers.insert(info.container_name.empty() ? info.container_id : info.container_name);
  }
  std::string names;
  for (const std::string& name : containers) names += (names.empty() ? "" : ", ") + name;
  return Ok("in container " + names);
}

std::optional<pods::ShareRefusal> CheckLeave(const PodView& view, const pods::GroupId& group,
                                             pods::ShareAction action) {
  std::optional<pods::ShareRefusal> refusal = pods::ShareRefusal{
      pods::RefusalCause::kNoOwner, "no pod of namespace " + group.owner +
                                        " on this node is in "
                                        "group " +
                                        group.Text() + " to let " + view.name + " in"};
  for (const auto& pod : view.node.pods) {
    if (pod->pod_namespace != group.owner) continue;
    const Result<pods::SharePolicy> policy = pods::ParsePolicy(*pod);
    if (!policy.ok() || policy->Find(group) == nullptr) continue;
    refusal = pods::CheckLeave(group, {*pod, *policy}, *view.pod, action);
    if (!refusal) return std::nullopt;
  }
  return refusal;
}

Finding AllowedStep(const PodView& view) {
  if (!view.policy.ok()) return Skipped("the pod asks for nothing");
  const pods::PodSide side{*view.pod, *view.policy};
  for (const pods::Membership& membership : view.policy->groups) {
    const auto action =
        pods::MayImport(membership.role) ? pods::ShareAction::kImport : pods::ShareAction::kExport;
    auto refusal = pods::CheckMember(membership.group, side, action, view.node.policy);
    if (!refusal && membership.group.owner != view.pod->pod_namespace) {
      refusal = CheckLeave(view, membership.group, action);
    }
    if (!refusal) continue;
    return Failed(refusal->message,
                  "what the message names must change: the cluster's policy (policy.* of the "
                  "broker's settings), or the annotation npu-ipc.io/allow-namespaces of a pod of "
                  "the group's namespace");
  }
  return Ok("by the cluster's policy, and by the namespaces whose groups these are");
}

Json Steps(const PodView& view) {
  Json steps = Json::array();
  const auto add = [&](const char* step, const Finding& finding) {
    steps.push_back({{"name", step},
                     {"status", finding.status},
                     {"message", finding.message},
                     {"remedy", finding.remedy}});
  };
  add("broker", Ok("npu-ipc-broker " + view.node.version + " answers on node " + view.node.node));
  add("device-plugin", DevicePluginStep(view.node));
  add("registered", RegisteredStep(view.node));
  if (view.name.empty()) {
    add("pods-known", PodsKnownStep(view.node));
    return steps;
  }
  add("pod-known", PodKnownStep(view));
  add("annotated", AnnotatedStep(view));
  add("connected", ConnectedStep(view));
  add("identified", IdentifiedStep(view));
  add("allowed", AllowedStep(view));
  add("whitelisted", WhitelistedStep(view));
  add("imported", ImportedStep(view));
  return steps;
}

Json Groups(const PodView& view) {
  Json groups = Json::array();
  if (!view.policy.ok()) return groups;
  for (const pods::Membership& own : view.policy->groups) groups.push_back(own.group.Text());
  return groups;
}

// With which a container is given the library and the socket.
Json Resources(const NodeSnapshot& node) {
  Json resources = Json::array();
  for (const OfferedResource& own : node.resources) resources.push_back(own.name);
  if (node.devices && node.devices->state != nullptr) {
    for (const auto& [name, of_plugin] : node.devices->state->resources) {
      resources.push_back(name);
    }
  }
  return resources;
}

size_t RegionsOf(const PodView& view, const std::string& pod, const pods::GroupId& group) {
  return static_cast<size_t>(std::count_if(
      view.node.shares.regions.begin(), view.node.shares.regions.end(), [&](const auto& r) {
        return r.second.name.group.Text() == group.Text() && view.PodOf(r.second.exporter) == pod;
      }));
}

// The other pods of this node that are in a group with it.
Json Members(const PodView& view) {
  Json members = Json::array();
  if (!view.policy.ok()) return members;
  for (const auto& pod : view.node.pods) {
    const Result<pods::SharePolicy> policy = pods::ParsePolicy(*pod);
    if (pod.get() == view.pod || !policy.ok()) continue;
    for (const pods::Membership& own : view.policy->groups) {
      const pods::Membership* const other = policy->Find(own.group);
      if (other == nullptr) continue;
      members.push_back({{"group", own.group.Text()},
                         {"namespace", pod->pod_namespace},
                         {"pod", pod->name},
                         {"role", std::string(pods::RoleName(other->role))},
                         {"regions", RegionsOf(view, pods::FullName(*pod), own.group)}});
    }
  }
  return members;
}

}  // namespace

std::string Count(size_t count, const std::string& what) { return Count(count, what, what + "s"); }

std::string Count(size_t count, const std::string& what, const std::string& plural) {
  return std::to_string(count) + " " + (count == 1 ? what : plural);
}

const pods::Pod* FindByName(const NodeSnapshot& node, const std::string& name) {
  const auto found = std::find_if(node.pods.begin(), node.pods.end(),
                                  [&](const auto& pod) { return pods::FullName(*pod) == name; });
  return found == node.pods.end() ? nullptr : found->get();
}

PodView::PodView(const NodeSnapshot& snapshot, const std::string& pod_name)
    : node(snapshot),
      name(pod_name),
      pod(FindByName(snapshot, pod_name)),
      policy(pod != nullptr ? pods::ParsePolicy(*pod)
                            : Result<pods::SharePolicy>(Status(StatusCode::kNotFound, ""))) {
  for (const auto& [client, process] : node.shares.processes) {
    if (process.info.PodFullName() == name) processes.push_back(&process);
  }
  for (const auto& [id, region] : node.shares.regions) {
    if (PodOf(region.exporter) == name) regions.push_back(&region);
  }
  for (const ShareSnapshot::Mapping& mapping : node.shares.mappings) {
    if (PodOf(mapping.importer) == name) mappings.push_back(&mapping);
  }
}

std::string PodView::PodOf(broker::ClientId client) const {
  return node.shares.processes.at(client).info.PodFullName();
}

std::string PodView::LastRefusal() const {
  for (auto event = node.events.rbegin(); event != node.events.rend(); ++event) {
    if (event->pod_namespace + "/" + event->pod_name == name) {
      return "; last refused " + std::to_string(Seconds(node.time - event->last_seen)) +
             " s ago: " + event->message;
    }
  }
  return "";
}

Json DoctorDocument(const NodeSnapshot& node, const std::string& pod) {
  const PodView view(node, pod);
  Json document = NewDocument("Diagnosis", node);
  document["pod"] = pod;
  document["steps"] = Steps(view);
  document["groups"] = Groups(view);
  document["resources"] = Resources(node);
  document["members"] = Members(view);
  return document;
}

broker::ShareQuery ShareQueryFor(const NodeSnapshot& node, const Request& request) {
  broker::ShareQuery query;
  switch (request.topic) {
    case Topic::kShares:
      query.regions = true;
      query.from = request.from;
      break;
    case Topic::kPods:
      query.processes = true;
      break;
    case Topic::kAudit:
      query.processes = true;
      query.keys = true;
      break;
    case Topic::kDoctor: {
      query.processes = true;
      query.regions = true;
      query.page = 50'000;
      query.groups.emplace();
      const pods::Pod* const pod = FindByName(node, request.pod);
      if (pod == nullptr) break;
      const Result<pods::SharePolicy> policy = pods::ParsePolicy(*pod);
      if (!policy.ok()) break;
      for (const pods::Membership& membership : policy->groups) {
        query.groups->insert(membership.group.Text());
      }
      break;
    }
    case Topic::kVersion:
    case Topic::kDevices:
    case Topic::kEvents:
      break;
  }
  return query;
}

}  // namespace npu_ipc::admin
