#include "plugin/identity/cgroup.h"

#include <algorithm>
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
    for (const std::string_view runtime : {"cri-containerd-", "crio-", "docker-", "isulad-"}) {
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

// A container, and the part of its path that is not the kubelet's: what is above "kubepods".
struct Place {
  ContainerCgroup container;
  std::string root;
};

std::string Join(const Components& components, size_t count) {
  std::string path;
  for (size_t i = 0; i < count; ++i) path.append("/").append(components[i]);
  return path;
}

// The container whose pod, QoS level, or "kubepods" is `components[at]`.
std::optional<ContainerCgroup> ContainerBelow(const Components& components, size_t at) {
  if (IsKubepods(components[at])) return ContainerAt(components, at + 1);
  return JoinedContainer(components[at]);
}

// From a private cgroup namespace. Directly after the ".." are the cgroups that hold the reader's
// own: the kubelet's, where it runs in a pod, or else the root's. Nobody but the kubelet makes
// children there, and further down others do.
std::optional<Place> PlaceOfRelative(const Components& components, size_t up) {
  if (up == components.size()) return std::nullopt;
  std::optional<ContainerCgroup> found = ContainerAt(components, up);
  if (!found && (components[up] == "kubelet" || components[up] == "kubelet.slice")) ++up;
  if (!found && up < components.size()) found = ContainerBelow(components, up);
  if (!found) return std::nullopt;
  return Place{*std::move(found), Join(components, up)};
}

std::optional<Place> PlaceOf(std::string_view path) {
  const Components components = Split(path, '/');
  size_t up = 0;
  while (up < components.size() && components[up] == "..") ++up;
  if (up > 0) return PlaceOfRelative(components, up);
  for (size_t at = 0; at < components.size(); ++at) {
    // systemd gives each user that logs in a cgroup to fill as they like.
    if (components[at] == "user.slice") return std::nullopt;
    std::optional<ContainerCgroup> found = ContainerBelow(components, at);
    if (found) return Place{*std::move(found), Join(components, at)};
    if (IsKubepods(components[at])) return std::nullopt;
  }
  return std::nullopt;
}

// The third field of "<number>:<controllers>:/<path>"; a path may hold ':' itself.
std::optional<std::string_view> PathOf(std::string_view line) {
  const size_t number_end = line.find(':');
  if (number_end == 0 || number_end == std::string_view::npos) return std::nullopt;
  const bool is_number = std::all_of(line.begin(), line.begin() + number_end,
                                     [](char c) { return c >= '0' && c <= '9'; });
  const size_t controllers_end = line.find(':', number_end + 1);
  if (!is_number || controllers_end == std::string_view::npos) return std::nullopt;
  line.remove_prefix(controllers_end + 1);
  if (!line.starts_with('/')) return std::nullopt;
  return line;
}

// The places that the lines of `text` name.
Result<std::vector<Place>> PlacesOf(std::string_view text) {
  if (text.size() > kMaxCgroupBytes) {
    return Status(StatusCode::kInvalidArgument,
                  "its cgroup file is larger than " + std::to_string(kMaxCgroupBytes) + " bytes");
  }
  std::vector<Place> places;
  for (const std::string_view line : Split(text, '\n')) {
    const std::optional<std::string_view> path = PathOf(line);
    if (!path) {
      return Status(StatusCode::kInvalidArgument,
                    "its cgroup file has a line that no kernel writes");
    }
    if (std::optional<Place> place = PlaceOf(*path)) places.push_back(*std::move(place));
  }
  return places;
}

bool AnyHasRoot(const std::vector<Place>& places, const std::string& root) {
  return std::any_of(places.begin(), places.end(),
                     [&root](const Place& place) { return place.root == root; });
}

}  // namespace

Result<ContainerCgroup> ParseCgroup(std::string_view text, std::string_view own) {
  const Result<std::vector<Place>> places = PlacesOf(text);
  if (!places.ok()) return places.status();
  const Result<std::vector<Place>> own_places = PlacesOf(own);
  if (!own_places.ok()) return own_places.status().WithContext("of this process itself");
  const ContainerCgroup* found = nullptr;
  for (const Place& place : *places) {
    if (!own_places->empty() && !AnyHasRoot(*own_places, place.root)) continue;
    if (found != nullptr && *found != place.container) {
      return Status(StatusCode::kPermissionDenied,
                    "its cgroup hierarchies name different containers: pod " + found->pod_uid +
                        " container " + found->container_id + ", and pod " +
                        place.container.pod_uid + " container " + place.container.container_id);
    }
    found = &place.container;
  }
  if (found == nullptr) {
    return Status(StatusCode::kNotFound, "its cgroup names no container of a Kubernetes pod");
  }
  return *found;
}

}  // namespace npu_ipc::identity
