// `kubectl npu doctor`: where the way of a pod to a share stops, and what to do.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "plugin/kubectl/fleet.h"

namespace npu_ipc::kubectl {

// One node's, or one pod's, steps: [{"name", "status", "message", "remedy"}].
struct Diagnosis {
  std::string subject;  // "pod team/trainer-0", "node a"
  std::string node;
  nlohmann::json steps = nlohmann::json::array();
  nlohmann::json members = nlohmann::json::array();  // of the pod's groups, also on other nodes

  // The first step that failed; null where none has.
  const nlohmann::json* Stop() const;
};

// Of one pod, "name" or "namespace/name". kNotFound, kUnavailable where the API server says so.
Result<Diagnosis> DiagnosePod(const Fleet& fleet, const std::string& pod);

// Of each node that has, or is to have, a broker.
Result<std::vector<Diagnosis>> DiagnoseNodes(const Fleet& fleet);

// What `kubectl get pod -o json` says, before any broker is asked: whether it has been scheduled
// and runs.
nlohmann::json ScheduledStep(const nlohmann::json& pod);
// Whether a container of the pod asks for one of `resources`, with which it is given the library
// and the socket; `connected`: whether a process of it has been seen, which proves it.
nlohmann::json InjectedStep(const nlohmann::json& pod, const std::vector<std::string>& resources,
                            bool connected);

// Why the driver's device nodes, 0660 and its own user's unless it was installed for all users, may
// not open in the pod; nullopt where nothing that the pod says is in the way.
std::optional<nlohmann::json> DeviceNodesStep(const nlohmann::json& pod);

void PrintDiagnosis(const Diagnosis& diagnosis, std::ostream& out);
nlohmann::json ToJson(const Diagnosis& diagnosis);

}  // namespace npu_ipc::kubectl
