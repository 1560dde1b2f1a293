// Which pod and container a process is in, as its cgroup says.
#pragma once

#include <string>
#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc::identity {

struct ContainerCgroup {
  std::string pod_uid;  // with dashes; of a static pod 32 hex digits (the hash of its manifest)
  std::string container_id;  // 64 hex digits

  friend bool operator==(const ContainerCgroup&, const ContainerCgroup&) = default;
};

// Parses what /proc/<pid>/cgroup says (cgroup v1, v2 or both, one line a hierarchy). Pure; safe for
// concurrent use.
//
// In a path, the pod is the first pod component, directly below the first "kubepods" component or
// directly after leading ".." (which is how another pod looks from a private cgroup namespace); a
// QoS level may stand between. The container's component comes directly after it. Nothing further
// down counts: a container that may write to its cgroup can make children of any name there.
//
// Component names are those of the kubelet's two cgroup drivers (kubelet:
// pkg/kubelet/cm/cgroup_manager_linux.go, pod_container_manager_linux.go) and of containerd, CRI-O
// and docker.
//
// kNotFound when no hierarchy names a container of a pod; kPermissionDenied when two hierarchies
// name different ones.
Result<ContainerCgroup> ParseCgroup(std::string_view text);

}  // namespace npu_ipc::identity
