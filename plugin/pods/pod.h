// A pod, as far as sharing looks at it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "hal/base/result.h"

namespace npu_ipc::pods {

struct PodContainer {
  std::string name;
  std::string id;  // without the runtime's scheme; empty until the kubelet has reported it

  friend bool operator==(const PodContainer&, const PodContainer&) = default;
};

struct Pod {
  std::string uid;
  std::string pod_namespace;
  std::string name;
  // Those that matter here: of npu-ipc.io/, and what makes a static pod's mirror. The others may be
  // large, and change without a meaning.
  std::map<std::string, std::string> annotations;
  std::map<std::string, std::string> labels;
  std::vector<PodContainer> containers;  // init and ephemeral ones too; those with a status only
  // Its phase is Succeeded or Failed: none of its containers runs, or will run again.
  bool terminated = false;

  friend bool operator==(const Pod&, const Pod&) = default;
};

// "namespace/name".
std::string FullName(const Pod& pod);

// The uid that the pod's cgroups carry: its own, or that of the static pod that it mirrors.
// (kubelet: pkg/kubelet/config/common.go puts the manifest's hash in the place of a static pod's
// uid; pkg/kubelet/types/pod_update.go names the two annotations of its mirror.)
std::string CgroupUid(const Pod& pod);

// The name of the container `id`, empty where the pod's status does not have it (yet).
std::string ContainerName(const Pod& pod, std::string_view id);

// One pod of the Kubernetes API; its `kind` is not looked at. kInvalidArgument names the field,
// from `where` on, that is missing or of a wrong type. Never throws.
Result<Pod> ReadPod(const nlohmann::json& object, const std::string& where);

// Parses what `kubectl get pods -o json` prints: a List (or PodList) of pods, or one Pod.
// kInvalidArgument names the item and the field that is missing or of a wrong type, or the place
// where the text stops being JSON; also for two pods of one uid. Never throws.
Result<std::vector<Pod>> ParsePods(std::string_view json);

}  // namespace npu_ipc::pods
