// What an operator reads under `kubectl describe`: an Event on a pod or on a node.
#pragma once

#include <compare>
#include <string>
#include <utility>

namespace npu_ipc::cluster {

// What the Event is about.
struct EventSubject {
  std::string api_version;
  std::string kind;
  std::string object_namespace;  // empty for a node
  std::string name;
  std::string uid;

  friend auto operator<=>(const EventSubject&, const EventSubject&) = default;
};

inline EventSubject PodSubject(std::string pod_namespace, std::string name, std::string uid) {
  return {"v1", "Pod", std::move(pod_namespace), std::move(name), std::move(uid)};
}

// The name in the place of the uid, as the kubelet has it (pkg/kubelet/kubelet.go): `kubectl
// describe node` looks for that.
inline EventSubject NodeSubject(const std::string& name) { return {"v1", "Node", "", name, name}; }

enum class EventType { kNormal, kWarning };

struct Event {
  EventSubject subject;
  EventType type = EventType::kNormal;
  std::string reason;   // CamelCase, at most 128 bytes: "ShareRefused"
  std::string message;  // for people; cut after 1,024 bytes

  friend auto operator<=>(const Event&, const Event&) = default;
};

}  // namespace npu_ipc::cluster
