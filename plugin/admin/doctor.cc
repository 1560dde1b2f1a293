// The way of one pod to a share, step by step, as far as the node's broker sees it.
#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugin/admin/document.h"
#include "plugin/admin/documents.h"
#include "plugin/pods/policy.h"
#include "plugin/pods/share_decision.h"

namespace npu_ipc::admin {
namespace {

using broker::MappingState;
using broker::ShareSnapshot;
using Json = nlohmann::json;

// Of one step. What comes after one that failed is looked at all the same: it may have been passed
// before.
struct Finding {
  const char* status;  // Ok, Failed, Unknown or Skipped
  std::string message;
  std::string remedy;
};
Finding Ok(std::string message) { return {"Ok", std::move(message), ""}; }
Finding Failed(std::string message, std::string remedy) {
  return {"Failed", std::move(message), std::move(remedy)};
}
Finding Skipped(std::string message) { return {"Skipped", std::move(message), ""}; }

std::string Count(size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string Processes(size_t count) {
  return std::to_string(count) + (count == 1 ? " process" : " processes");
}

std::string AttachesWait(size_t count) {
  return std::to_string(count) + (count == 1 ? " attach waits" : " attaches wait");
}

const pods::Pod* FindByName(const NodeSnapshot& node, const std::string& name) {
  const auto found = std::find_if(node.pods.begin(), node.pods.end(),
                                  [&](const auto& pod) { return pods::FullName(*pod) == name; });
  return found == node.pods.end() ? nullptr : found->get();
}

class Doctor {
 public:
  Doctor(const NodeSnapshot& node, const std::string& pod_name)
      : node_(node),
        name_(pod_name),
        pod_(FindByName(node, pod_name)),
        policy_(pod_ != nullptr ? pods::ParsePolicy(*pod_)
                                : Result<pods::SharePolicy>(Status(StatusCode::kNotFound, ""))) {
    for (const auto& [client, process] : node.shares.processes) {
      if (process.info.PodFullName() == name_) processes_.push_back(&process);
    }
    for (const auto& [id, region] : node.shares.regions) {
      if (PodOf(region.exporter) == name_) own_regions_.push_back(&region);
    }
    for (const ShareSnapshot::Mapping& mapping : node.shares.mappings) {
      if (PodOf(mapping.importer) == name_) own_mappings_.push_back(&mapping);
    }
  }

  Json Steps() const {
    Json steps = Json::array();
    const auto add = [&](const char* step, const Finding& finding) {
      steps.push_back({{"name", step},
                       {"status", finding.status},
                       {"message", finding.message},
                       {"remedy", finding.remedy}});
    };
    add("broker", Ok("npu-ipc-broker " + node_.version + " answers on node " + node_.node));
    add("device-plugin", DevicePlugin());
    add("registered", Registered());
    if (name_.empty()) {
      add("pods-known", PodsKnown());
      return steps;
    }
    add("pod-known", PodKnown());
    add("annotated", Annotated());
    add("connected", Connected());
    add("identified", Identified());
    add("allowed", Allowed());
    add("whitelisted", Whitelisted());
    add("imported", Imported());
    return steps;
  }

  Json Groups() const {
    Json groups = Json::array();
    if (!policy_.ok()) return groups;
    for (const pods::Membership& own : policy_->groups) groups.push_back(own.group.Text());
    return groups;
  }

  // With which a container is given the library and the socket.
  Json Resources() const {
    Json resources = Json::array();
    for (const OfferedResource& own : node_.resources) resources.push_back(own.name);
    if (node_.devices && node_.devices->state != nullptr) {
      for (const auto& [name, of_plugin] : node_.devices->state->resources) {
        resources.push_back(name);
      }
    }
    return resources;
  }

  // The other pods of this node that are in a group with it.
  Json Members() const {
    Json members = Json::array();
    if (!policy_.ok()) return members;
    for (const auto& pod : node_.pods) {
      const Result<pods::SharePolicy> policy = pods::ParsePolicy(*pod);
      if (pod.get() == pod_ || !policy.ok()) continue;
      for (const pods::Membership& own : policy_->groups) {
        const pods::Membership* const other = policy->Find(own.group);
        if (other == nullptr) continue;
        members.push_back({{"group", own.group.Text()},
                           {"namespace", pod->pod_namespace},
                           {"pod", pod->name},
                           {"role", std::string(pods::RoleName(other->role))},
                           {"regions", RegionsOf(pods::FullName(*pod), own.group)}});
      }
    }
    return members;
  }

 private:
  std::string PodOf(broker::ClientId client) const {
    return node_.shares.processes.at(client).info.PodFullName();
  }

  size_t RegionsOf(const std::string& pod, const pods::GroupId& group) const {
    return static_cast<size_t>(
        std::count_if(node_.shares.regions.begin(), node_.shares.regions.end(), [&](const auto& r) {
          return r.second.name.group.Text() == group.Text() && PodOf(r.second.exporter) == pod;
        }));
  }

  // The pod's own share of what went wrong, the newest first.
  std::string LastEvent() const {
    for (auto event = node_.events.rbegin(); event != node_.events.rend(); ++event) {
      if (event->pod_namespace + "/" + event->pod_name == name_) {
        return "; last refused " + std::to_string(Seconds(node_.time - event->last_seen)) +
               " s ago: " + event->message;
      }
    }
    return "";
  }

  Finding DevicePlugin() const {
    if (!node_.devices) {
      return Skipped("the broker runs without a device view: the devices are another plugin's");
    }
    if (node_.devices->state == nullptr || !node_.devices->connected) {
      return Failed("npu-device-plugin does not answer: " + node_.devices->problem,
                    "look at the log of container npu-device-plugin of the pod of npu-ipc on this "
                    "node; what is shared goes on without it");
    }
    const device_view::NodeState& state = *node_.devices->state;
    const auto healthy =
        static_cast<size_t>(std::count_if(state.devices.begin(), state.devices.end(),
                                          [](const auto& d) { return d.second.health.healthy; }));
    const std::string devices =
        std::to_string(healthy) + " of " + Count(state.devices.size(), "device") + " healthy";
    if (state.facts.problem.empty()) return Ok(devices);
    return Failed(devices + ": " + state.facts.problem,
                  "look at `kubectl npu devices --node " + node_.node + "`");
  }

  Finding Registered() const {
    std::vector<std::string> unknown;
    std::string names;
    const auto look = [&](const std::string& name, uint64_t registrations) {
      if (registrations == 0) unknown.push_back(name);
      names += (names.empty() ? "" : ", ") + name;
    };
    for (const OfferedResource& own : node_.resources) look(own.name, own.registrations);
    if (node_.devices && node_.devices->state != nullptr) {
      for (const auto& [name, statistics] : node_.devices->state->resources) {
        look(name, statistics.registrations);
      }
    }
    if (names.empty()) return Skipped("no resource of npu-ipc's is offered on this node");
    if (unknown.empty()) return Ok("the kubelet knows " + names);
    return Failed("the kubelet does not know " + unknown.front() + " yet",
                  "see that kubelet.devicePluginDirectory is the kubelet's own directory, mounted "
                  "from the host, and that the kubelet runs");
  }

  Finding PodsKnown() const {
    const pods::DirectoryState& directory = node_.pod_directory;
    if (directory.ready) return Ok(Count(directory.pods, "pod"));
    return Failed("the broker does not know the pods of this node: " + directory.problem,
                  "see that the broker's service account may list and watch pods");
  }

  Finding PodKnown() const {
    if (pod_ != nullptr) return Ok("uid " + pod_->uid);
    const pods::DirectoryState& directory = node_.pod_directory;
    const std::string knows = "the broker of node " + node_.node + " does not know pod " + name_ +
                              " among its " + Count(directory.pods, "pod");
    if (!directory.ready) {
      return Failed(knows + ": " + directory.problem,
                    "see that the broker's service account may list and watch pods");
    }
    return Failed(knows, "see that the pod runs on this node, and is not Completed or Failed");
  }

  Finding Annotated() const {
    if (pod_ == nullptr) return Skipped("the pod is not known");
    if (policy_.ok()) return Ok("groups " + pods::GroupNames(*pod_, *policy_));
    if (policy_.status().code() == StatusCode::kNotFound) {
      return Failed("the pod has no annotation npu-ipc.io/group, and so shares nothing",
                    "add `npu-ipc.io/group: GROUP` to the pod's (or its template's) annotations");
    }
    return Failed(policy_.status().message(),
                  "correct the annotation; until then the pod shares nothing");
  }

  Finding Connected() const {
    const auto connected = static_cast<size_t>(std::count_if(
        processes_.begin(), processes_.end(), [](const auto* p) { return p->connected; }));
    if (connected > 0) return Ok(Processes(connected));
    if (!processes_.empty()) {
      return Failed("its processes have lost their connections" + LastEvent(),
                    "a program that runs comes back by itself; see that it does run");
    }
    return Failed("no process of the pod is connected to the broker" + LastEvent(),
                  "see that the program calls npu_ipc_open() or is started with the preload "
                  "library, and that the container was given the socket's directory");
  }

  Finding Identified() const {
    if (processes_.empty()) return Skipped("no process is connected");
    std::set<std::string> containers;
    for (const ShareSnapshot::Process* const process : processes_) {
      const broker::ClientInfo& info = process->info;
      containers.insert(info.container_name.empty() ? info.container_id : info.container_name);
    }
    std::string names;
    for (const std::string& name : containers) names += (names.empty() ? "" : ", ") + name;
    return Ok("in container " + names);
  }

  Finding Allowed() const {
    if (!policy_.ok()) return Skipped("the pod asks for nothing");
    const pods::PodSide side{*pod_, *policy_};
    for (const pods::Membership& membership : policy_->groups) {
      const auto action = pods::MayImport(membership.role) ? pods::ShareAction::kImport
                                                           : pods::ShareAction::kExport;
      auto refusal = pods::CheckMember(membership.group, side, action, node_.policy);
      if (!refusal && membership.group.owner != pod_->pod_namespace) {
        refusal = CheckLeave(membership.group, action);
      }
      if (!refusal) continue;
      return Failed(refusal->message,
                    "what the message names must change: the cluster's policy (policy.* of the "
                    "broker's settings), or the annotation npu-ipc.io/allow-namespaces of a pod of "
                    "the group's namespace");
    }
    return Ok("by the cluster's policy, and by the namespaces whose groups these are");
  }

  std::optional<pods::ShareRefusal> CheckLeave(const pods::GroupId& group,
                                               pods::ShareAction action) const {
    std::optional<pods::ShareRefusal> refusal = pods::ShareRefusal{
        pods::RefusalCause::kNoOwner, "no pod of namespace " + group.owner +
                                          " on this node is in "
                                          "group " +
                                          group.Text() + " to let " + name_ + " in"};
    for (const auto& pod : node_.pods) {
      if (pod->pod_namespace != group.owner) continue;
      const Result<pods::SharePolicy> policy = pods::ParsePolicy(*pod);
      if (!policy.ok() || policy->Find(group) == nullptr) continue;
      refusal = pods::CheckLeave(group, {*pod, *policy}, *pod_, action);
      if (!refusal) return std::nullopt;
    }
    return refusal;
  }

  bool MayImportAny() const {
    return policy_.ok() &&
           std::any_of(policy_->groups.begin(), policy_->groups.end(),
                       [](const auto& membership) { return pods::MayImport(membership.role); });
  }

  Finding Whitelisted() const {
    if (!own_mappings_.empty()) {
      return Ok("for " + Count(own_mappings_.size(), "mapping"));
    }
    if (!own_regions_.empty()) {
      size_t whitelisted = 0;
      for (const ShareSnapshot::Region* const region : own_regions_) {
        whitelisted += region->whitelisted;
      }
      return Ok("exports " + Count(own_regions_.size(), "region") + ", to which it let in " +
                Processes(whitelisted));
    }
    if (!policy_.ok() || processes_.empty()) return Skipped("nothing is shared yet");
    size_t waiting = 0;
    for (const ShareSnapshot::Process* const process : processes_) waiting += process->waiting;
    const size_t others = node_.shares.regions.size();
    if (waiting > 0 && others == 0) {
      return Failed(
          AttachesWait(waiting) + ", and no exporter on this node has published in its groups",
          "groups are of one node: see below where the other members are, and keep them "
          "together with podAffinity");
    }
    if (waiting > 0) {
      return Failed(AttachesWait(waiting) +
                        " for a region of another name, or for an exporter that does not answer" +
                        LastEvent(),
                    "compare the names with `kubectl npu shares --node " + node_.node + "`");
    }
    if (MayImportAny() && others == 0) {
      return Failed("no exporter on this node has published anything in its groups" + LastEvent(),
                    "groups are of one node: see below where the other members are, and keep them "
                    "together with podAffinity");
    }
    return Failed("it has neither published nor attached to anything" + LastEvent(),
                  "see that the program calls npu_ipc_publish() or npu_ipc_attach()");
  }

  Finding Imported() const {
    if (own_mappings_.empty()) {
      return Skipped(own_regions_.empty() ? "nothing is mapped" : "an exporter maps nothing");
    }
    const auto count = [&](MappingState state) {
      return static_cast<size_t>(std::count_if(own_mappings_.begin(), own_mappings_.end(),
                                               [&](const auto* m) { return m->state == state; }));
    };
    const size_t imported = count(MappingState::kImported);
    const std::string text =
        std::to_string(imported) + " of " + Count(own_mappings_.size(), "mapping") + " imported";
    if (const size_t revoked = count(MappingState::kRevoked); revoked > 0) {
      return Failed(text + ", " + std::to_string(revoked) + " revoked" + LastEvent(),
                    "the program should detach; what it has mapped stays mapped until then");
    }
    if (const size_t dead = count(MappingState::kDead); dead > 0) {
      return Failed(text + ", " + std::to_string(dead) + " dead: their exporters have gone",
                    "the program should detach and attach again");
    }
    if (const size_t granted = count(MappingState::kGranted); granted > 0) {
      return Failed(text + ", " + std::to_string(granted) + " granted and not imported yet",
                    "where this lasts, the driver's import hangs or its program is stopped");
    }
    return Ok(text);
  }

  const NodeSnapshot& node_;
  const std::string name_;
  const pods::Pod* const pod_;  // null where it is not known
  const Result<pods::SharePolicy> policy_;
  std::vector<const ShareSnapshot::Process*> processes_;
  std::vector<const ShareSnapshot::Region*> own_regions_;
  std::vector<const ShareSnapshot::Mapping*> own_mappings_;
};

}  // namespace

Json DoctorDocument(const NodeSnapshot& node, const std::string& pod) {
  const Doctor doctor(node, pod);
  Json document = NewDocument("Diagnosis", node);
  document["pod"] = pod;
  document["steps"] = doctor.Steps();
  document["groups"] = doctor.Groups();
  document["resources"] = doctor.Resources();
  document["members"] = doctor.Members();
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
