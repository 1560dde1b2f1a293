#include "plugin/pods/pod.h"

#include <algorithm>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace npu_ipc::pods {
namespace {

using Json = nlohmann::json;

constexpr char kMirrorAnnotation[] = "kubernetes.io/config.mirror";
constexpr char kHashAnnotation[] = "kubernetes.io/config.hash";

Status Invalid(const std::string& where, const std::string& what) {
  return {StatusCode::kInvalidArgument, where + " " + what};
}

// Absent and null are the same to Kubernetes.
const Json* Member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Status ReadText(const Json& object, const char* key, const std::string& where, std::string* text) {
  const Json* value = Member(object, key);
  if (value == nullptr || !value->is_string() || value->get_ref<const std::string&>().empty()) {
    return Invalid(where + "." + key, "is missing, empty or not a string");
  }
  *text = value->get<std::string>();
  return Status::Ok();
}

Status ReadTexts(const Json& object, const char* key, const std::string& where,
                 std::map<std::string, std::string>* texts) {
  const Json* value = Member(object, key);
  if (value == nullptr) return Status::Ok();
  if (!value->is_object()) return Invalid(where + "." + key, "is not an object");
  for (const auto& [name, text] : value->items()) {
    if (!text.is_string())
      return Invalid(where + "." + key + "['" + name + "']", "is not a string");
    texts->emplace(name, text.get<std::string>());
  }
  return Status::Ok();
}

// Of "containerd://<id>" the id.
std::string WithoutScheme(const std::string& container_id) {
  const size_t at = container_id.find("://");
  return at == std::string::npos ? container_id : container_id.substr(at + 3);
}

// Lenient: what the kubelet has not reported yet is not there, and no right depends on it.
void ReadContainers(const Json& status, const char* key, std::vector<PodContainer>* containers) {
  const Json* statuses = Member(status, key);
  if (statuses == nullptr || !statuses->is_array()) return;
  for (const Json& entry : *statuses) {
    const Json* name = Member(entry, "name");
    const Json* id = Member(entry, "containerID");
    if (name == nullptr || !name->is_string()) continue;
    containers->push_back({name->get<std::string>(), id != nullptr && id->is_string()
                                                         ? WithoutScheme(id->get<std::string>())
                                                         : std::string()});
  }
}

bool Matters(const std::string& annotation) {
  return annotation.starts_with("npu-ipc.io/") || annotation == kMirrorAnnotation ||
         annotation == kHashAnnotation;
}

bool IsTerminated(const Json& status) {
  const Json* phase = Member(status, "phase");
  return phase != nullptr && (*phase == "Succeeded" || *phase == "Failed");
}

Result<std::vector<Pod>> ReadList(const Json& items) {
  if (!items.is_array()) return Invalid("items", "is not an array");
  std::vector<Pod> pods;
  std::set<std::string> uids;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string where = "items[" + std::to_string(i) + "]";
    // A PodList's items have no kind of their own.
    const Json* kind = Member(items[i], "kind");
    if (kind != nullptr && *kind != "Pod") return Invalid(where, "is no Pod: " + kind->dump());
    Result<Pod> pod = ReadPod(items[i], where);
    if (!pod.ok()) return pod.status();
    if (!uids.insert(pod->uid).second) {
      return Invalid(where + ".metadata.uid", pod->uid + " is another pod's too");
    }
    pods.push_back(std::move(pod).value());
  }
  return pods;
}

}  // namespace

std::string FullName(const Pod& pod) { return pod.pod_namespace + "/" + pod.name; }

std::string CgroupUid(const Pod& pod) {
  const auto mirror = pod.annotations.find(kMirrorAnnotation);
  const auto hash = pod.annotations.find(kHashAnnotation);
  if (mirror == pod.annotations.end() || hash == pod.annotations.end()) return pod.uid;
  // Annotations are the pod author's to write: only a value of a static pod's form counts, which no
  // other pod's uid has.
  const bool static_form = hash->second.size() == 32 && mirror->second == hash->second &&
                           hash->second.find_first_not_of("0123456789abcdef") == std::string::npos;
  return static_form ? hash->second : pod.uid;
}

Result<Pod> ReadPod(const Json& object, const std::string& where) {
  const Json* metadata = Member(object, "metadata");
  if (metadata == nullptr || !metadata->is_object()) {
    return Invalid(where + ".metadata", "is missing or not an object");
  }
  const std::string place = where + ".metadata";
  Pod pod;
  for (const Status& read : {ReadText(*metadata, "uid", place, &pod.uid),
                             ReadText(*metadata, "namespace", place, &pod.pod_namespace),
                             ReadText(*metadata, "name", place, &pod.name),
                             ReadTexts(*metadata, "annotations", place, &pod.annotations),
                             ReadTexts(*metadata, "labels", place, &pod.labels)}) {
    if (!read.ok()) return read;
  }
  std::erase_if(pod.annotations, [](const auto& entry) { return !Matters(entry.first); });
  if (const Json* status = Member(object, "status")) {
    pod.terminated = IsTerminated(*status);
    for (const char* key :
         {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
      ReadContainers(*status, key, &pod.containers);
    }
  }
  return pod;
}

std::string ContainerName(const Pod& pod, std::string_view id) {
  const auto found = std::find_if(pod.containers.begin(), pod.containers.end(),
                                  [&](const PodContainer& c) { return c.id == id; });
  return found == pod.containers.end() ? std::string() : found->name;
}

Result<std::vector<Pod>> ParsePods(std::string_view json) {
  try {
    const Json document = Json::parse(json);
    const Json* kind = Member(document, "kind");
    if (kind != nullptr && *kind == "Pod") {
      Result<Pod> pod = ReadPod(document, "pod");
      if (!pod.ok()) return pod.status();
      return std::vector<Pod>{std::move(pod).value()};
    }
    if (kind != nullptr && (*kind == "List" || *kind == "PodList")) {
      const Json* items = Member(document, "items");
      if (items == nullptr) return Invalid("items", "is missing");
      return ReadList(*items);
    }
    return Invalid("kind",
                   "is not List, PodList or Pod (the output of 'kubectl get pods -o json')");
  } catch (const Json::exception& error) {
    return Status(StatusCode::kInvalidArgument, error.what());
  }
}

}  // namespace npu_ipc::pods
