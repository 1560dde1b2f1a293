// Which pod and container a process is in, as its cgroup says.
#pragma once

#include <stddef.h>

#include <string>
#include <string_view>

#include "hal/base/result.h"

namespace npu_ipc::identity {

struct ContainerCgroup {
  std::string pod_uid;  // with dashes; of a static pod 32 hex digits (the hash of its manifest)
  std::string container_id;  // 64 hex digits

  friend bool operator==(const ContainerCgroup&, const ContainerCgroup&) = default;
};

// More than the kernel writes: a path has at most PATH_MAX bytes there, and a dozen hierarchies are
// many.
inline constexpr size_t kMaxCgroupBytes = 64 << 10;

// Parses what /proc/<pid>/cgroup says (cgroup v1, v2 or both, one line a hierarchy). Pure; safe for
// concurrent use.
//
// In a path, the pod is the first pod component, directly below the first "kubepods" component or
// directly after leading ".." (which is how another pod looks from a private cgroup namespace); a
// QoS level may stand between. The container's component comes directly after it. Nothing further
// down counts: a container that may write to its cgroup can make children of any name there.
//
// Nor does what somebody else than the kubelet can make further up. `own` is what
// /proc/self/cgroup says of the reader: where that names a pod, only pods below the same "kubepods"
// count. Where it does not, none below user.slice does (users fill theirs as they like), and after
// leading ".." the kubelet's cgroup must come at once.
//
// Component names are those of the kubelet's two cgroup drivers (kubernetes: pkg/kubelet/cm/
// cgroup_manager_linux.go, pod_container_manager_linux.go, qos_container_manager_linux.go) and of
// the runtimes: an id, or with the systemd driver "<prefix>-<id>.scope" (runc:
// libcontainer/cgroups/ systemd/common.go). The prefixes: cri-containerd (containerd:
// internal/cri/server/podsandbox/ helpers_linux.go), crio (cri-o:
// internal/config/cgmgr/cgmgr_linux.go; with cgroupfs too), docker (moby: daemon/oci_linux.go),
// isulad (iSulad: src/daemon/common/cgroup/cgroup.c).
//
// kNotFound when no hierarchy names a container of a pod; kPermissionDenied when two hierarchies
// name different ones; kInvalidArgument when the text is none of the kernel's.
Result<ContainerCgroup> ParseCgroup(std::string_view text, std::string_view own = {});

}  // namespace npu_ipc::identity
