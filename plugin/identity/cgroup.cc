#include "plugin/identity/cgroup.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace npu_ipc::identity {
namespace {

using Components = std::vector<std::string_view>;

constexpr std::string_view kKubepods = "kubepods";
constexpr size_t kContainerIdDigits = 64;

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    if (end != 0) parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

bool ConsumePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool ConsumeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// A pod's uid as the API server writes it: 8-4-4-4-12 hex digits (systemd names have '_' for '-'),
// or the 32 hex digits of a static pod.
std::optional<std::string> PodUid(std::string_view text) {
  if (text.size() == 32 && IsHex(text)) return std::string(text);
  if (text.size() != 36) return std::nullopt;
  std::string uid(text);
  for (size_t i = 0; i < uid.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash && uid[i] == '_') uid[i] = '-';
    if (dash ? uid[i] != '-' : !IsHex(std::string_view(&uid[i], 1))) return std::nullopt;
  }
  return uid;
}

// "kubepods", or "kubepods.slice" and "<parent>-kubepods.slice" of the systemd driver.
bool IsKubepods(std::string_view component) {
  if (component == kKubepods) return true;
  if (!ConsumeSuffix(component, ".slice") || !ConsumeSuffix(component, kKubepods)) return false;
  return component.empty() || component.back() == '-';
}

// "burstable", or "[<parent>-]kubepods-burstable.slice".
bool IsQualityOfService(std::string_view component) {
  for (const std::string_view level : {"burstable", "besteffort"}) {
    if (component == level) return true;
    std::string_view slice = component;
    if (ConsumeSuffix(slice, ".slice") && ConsumeSuffix(slice, level) &&
        ConsumeSuffix(slice, "-") && (slice == kKubepods || slice.ends_with("-kubepods"))) {
      return true;
    }
  }
  return false;
}

// "pod<uid>", or "[<parent>-]kubepods[-<qos>]-pod<uid>.slice".
std::optional<std::string> PodOf(std::string_view component) {
  if (ConsumePrefix(component, "pod")) return PodUid(component);
  if (!ConsumeSuffix(component, ".slice")) return std::nullopt;
  const size_t at = component.rfind("-pod");
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view parent = component.substr(0, at);
  if (!ConsumeSuffix(parent, "-burstable")) ConsumeSuffix(parent, "-besteffort");
  if (parent != kKubepods && !parent.ends_with("-kubepods")) return std::nullopt;
  return PodUid(component.substr(at + 4));
}

// "<id>", or "<runtime>-<id>.scope". "crio-conmon-<id>.scope" is CRI-O's monitor, no container.
std::optional<std::string> ContainerIdOf(std::string_view component) {
  if (ConsumeSuffix(component, ".scope")) {
    for (const std::string_view runtime : {"cri-containerd-", "crio-", "docker-", "libpod-"}) {
      if (ConsumePrefix(component, runtime)) break;
    }
  } else {
    ConsumePrefix(component, "crio-");  // CRI-O with the cgroupfs driver
  }
  if (component.size() != kContainerIdDigits || !IsHex(component)) return std::nullopt;
  return std::string(component);
}

// The pod and the container that begin at `components[at]`, after a QoS level or at once.
std::optional<ContainerCgroup> ContainerAt(const Components& components, size_t at) {
  if (at < components.size() && IsQualityOfService(components[at])) ++at;
  if (at + 1 >= components.size()) return std::nullopt;
  std::optional<std::string> pod = PodOf(components[at]);
  std::optional<std::string> container = ContainerIdOf(components[at + 1]);
  if (!pod || !container) return std::nullopt;
  return ContainerCgroup{std::move(*pod), std::move(*container)};
}

// "kubepods-besteffort-pod<uid>.slice:cri-containerd:<id>": containerd's own driver is cgroupfs
// where the kubelet's is systemd (one component, below containerd's own cgroup).
std::optional<ContainerCgroup> JoinedContainer(std::string_view component) {
  const std::vector<std::string_view> parts = Split(component, ':');
  if (parts.size() != 3 || parts[1] != "cri-containerd") return std::nullopt;
  std::optional<std::string> pod = PodOf(parts[0]);
  std::optional<std::string> container = ContainerIdOf(parts[2]);
  if (!pod || !container) return std::nullopt;
  return ContainerCgroup{std::move(*pod), std::move(*container)};
}

std::optional<ContainerCgroup> ContainerOfPath(std::string_view path) {
  const Components components = Split(path, '/');
  size_t up = 0;
  while (up < components.size() && components[up] == "..") ++up;
  if (up > 0) {
    if (std::optional<ContainerCgroup> found = ContainerAt(components, up)) return found;
  }
  for (size_t at = up; at < components.size(); ++at) {
    if (IsKubepods(components[at])) return ContainerAt(components, at + 1);
    if (std::optional<ContainerCgroup> found = JoinedContainer(components[at])) return found;
  }
  return std::nullopt;
}

// The third field of "<id>:<controllers>:<path>"; a path may hold ':' itself.
std::string_view PathOf(std::string_view line) {
  for (int field = 0; field < 2; ++field) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return {};
    line.remove_prefix(colon + 1);
  }
  return line;
}

}  // namespace

Result<ContainerCgroup> ParseCgroup(std::string_view text) {
  std::optional<ContainerCgroup> found;
  for (const std::string_view line : Split(text, '\n')) {
    std::optional<ContainerCgroup> here = ContainerOfPath(PathOf(line));
    if (!here) continue;
    if (found && *found != *here) {
      return Status(StatusCode::kPermissionDenied,
                    "its cgroup hierarchies name different containers: pod " + found->pod_uid +
                        " container " + found->container_id + ", and pod " + here->pod_uid +
                        " container " + here->container_id);
    }
    found = std::move(here);
  }
  if (!found) {
    return Status(StatusCode::kNotFound, "its cgroup names no container of a Kubernetes pod");
  }
  return *std::move(found);
}

}  // namespace npu_ipc::identity
