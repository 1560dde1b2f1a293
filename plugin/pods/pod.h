// A pod, as far as sharing looks at it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

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
  std::map<std::string, std::string> annotations;
  std::map<std::string, std::string> labels;
  std::vector<PodContainer> containers;  // init and ephemeral ones too; those with a status only

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

// Parses what `kubectl get pods -o json` prints: a List (or PodList) of pods, or one Pod.
// kInvalidArgument names the item and the field that is missing or of a wrong type, or the place
// where the text stops being JSON; also for two pods of one uid. Never throws.
Result<std::vector<Pod>> ParsePods(std::string_view json);

}  // namespace npu_ipc::pods
