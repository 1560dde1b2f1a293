// The surroundings of a process: the host's, or a container's.
#pragma once

#include <vector>

namespace npu_ipc::conformance {

struct Surroundings {
  enum class Kind {
    kHost,
    kContainer,            // namespaces of its own and the capabilities of an ordinary container
    kPrivilegedContainer,  // namespaces of its own and every capability
  };
  Kind kind = Kind::kHost;
  // Containers only: the physical ids of the devices that its /dev holds.
  std::vector<int> devices;
  // Containers only: false is a pod with hostPID.
  bool own_pid_namespace = true;
};

inline Surroundings Host() { return {}; }
inline Surroundings Container(std::vector<int> devices) {
  return {Surroundings::Kind::kContainer, std::move(devices)};
}
inline Surroundings PrivilegedContainer(std::vector<int> devices) {
  return {Surroundings::Kind::kPrivilegedContainer, std::move(devices)};
}

// Moves this process, just forked, into mount, IPC and network namespaces of a new container: /dev
// is new and holds `surroundings.devices`, the driver's control nodes and the usual ones; /proc is
// that of the PID namespace that the process was forked into. Ends the process with a message where
// that fails.
void EnterNewContainer(const Surroundings& surroundings);

// Takes the capabilities from this process, just forked, that an ordinary container does not have,
// for good from its next exec on. Ends the process with a message where that fails.
void DropToContainerCapabilities();

}  // namespace npu_ipc::conformance
