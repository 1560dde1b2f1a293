#include "tests/fakes/fake_api_objects.h"

#include <sstream>

namespace npu_ipc {
namespace {

using Json = nlohmann::json;

// The text at "spec.nodeName"; empty when there is none.
std::string FieldOf(const Json& object, const std::string& path) {
  const Json* at = &object;
  std::istringstream parts(path);
  for (std::string part; std::getline(parts, part, '.');) {
    if (!at->is_object() || !at->contains(part)) return {};
    at = &(*at)[part];
  }
  return at->is_string() ? at->get<std::string>() : std::string();
}

// The entry of metadata.managedFields of what `manager` applied; null when there is none.
const Json* AppliedBy(const Json& object, const std::string& manager) {
  const Json& metadata = object.at("metadata");
  if (!metadata.contains("managedFields")) return nullptr;
  for (const Json& entry : metadata.at("managedFields")) {
    if (entry.at("manager") == manager && entry.at("operation") == "Apply") return &entry;
  }
  return nullptr;
}

bool OwnsLabel(const Json* entry, const std::string& key) {
  const Json::json_pointer labels("/fieldsV1/f:metadata/f:labels");
  return entry != nullptr && entry->contains(labels) && entry->at(labels).contains("f:" + key);
}

Json LabelsEntry(const std::string& manager, const Json& labels) {
  Json fields = Json::object();
  for (const auto& [key, value] : labels.items()) fields["f:" + key] = Json::object();
  return {{"manager", manager},
          {"operation", "Apply"},
          {"fieldsType", "FieldsV1"},
          {"fieldsV1", {{"f:metadata", {{"f:labels", fields}}}}}};
}

}  // namespace

std::string FakeApiObjects::CollectionOf(const cluster::Resource& resource) {
  return cluster::UrlPath({resource, "", ""});
}

bool FakeApiObjects::Matches(const Json& object, const std::string& object_namespace,
                             const std::string& field_selector) {
  if (object.is_null()) return false;
  if (!object_namespace.empty() && FieldOf(object, "metadata.namespace") != object_namespace) {
    return false;
  }
  std::istringstream terms(field_selector);
  for (std::string term; std::getline(terms, term, ',');) {
    const size_t equals = term.find('=');
    if (FieldOf(object, term.substr(0, equals)) != term.substr(equals + 1)) return false;
  }
  return true;
}

void FakeApiObjects::Compact() {
  oldest_version_ = ++version_;
  changes_.clear();
}

const Json* FakeApiObjects::Find(const cluster::ObjectPath& path) const {
  const auto collection = collections_.find(CollectionOf(path.resource));
  if (collection == collections_.end()) return nullptr;
  const auto found = collection->second.find({path.object_namespace, path.name});
  return found == collection->second.end() ? nullptr : &found->second;
}

std::vector<Json> FakeApiObjects::All(const cluster::Resource& resource) const {
  std::vector<Json> all;
  const auto collection = collections_.find(CollectionOf(resource));
  if (collection == collections_.end()) return all;
  for (const auto& [key, object] : collection->second) all.push_back(object);
  return all;
}

void FakeApiObjects::Put(const cluster::ObjectPath& path, Json object) {
  Json& metadata = object["metadata"];
  metadata["name"] = path.name;
  if (!path.object_namespace.empty()) metadata["namespace"] = path.object_namespace;
  const std::string collection = CollectionOf(path.resource);
  Json& place = collections_[collection][{path.object_namespace, path.name}];
  if (!metadata.contains("uid")) {
    metadata["uid"] = place.is_null() ? "uid-" + std::to_string(next_uid_++)
                                      : place.at("metadata").at("uid").get<std::string>();
  }
  metadata["resourceVersion"] = std::to_string(++version_);
  changes_.push_back({version_, collection, place, object});
  place = std::move(object);
}

void FakeApiObjects::Delete(const cluster::ObjectPath& path) {
  const std::string collection = CollectionOf(path.resource);
  auto& objects = collections_[collection];
  const auto found = objects.find({path.object_namespace, path.name});
  changes_.push_back({++version_, collection, found->second, nullptr});
  objects.erase(found);
}

FakeApiObjects::PatchOutcome FakeApiObjects::Merge(const cluster::ObjectPath& path,
                                                   const Json& patch) {
  const Json* before = Find(path);
  if (before == nullptr) return {404, "NotFound", path.name + " not found", {}};
  Json after = *before;
  after.merge_patch(patch);
  if (after != *before) Put(path, after);
  return {200, "", "", *Find(path)};
}

FakeApiObjects::PatchOutcome FakeApiObjects::ApplyLabels(const cluster::ObjectPath& path,
                                                         const Json& applied,
                                                         const std::string& manager, bool force) {
  const Json* before = Find(path);
  // Applying would create it, which nobody is allowed to here.
  if (before == nullptr) return {403, "Forbidden", "cannot create " + path.name, {}};
  if (!applied.contains("apiVersion") || !applied.contains("kind") ||
      applied.at("metadata").at("name") != path.name) {
    return {400, "BadRequest", "apiVersion, kind and name must be set", {}};
  }
  const Json wanted = applied.at("metadata").value("labels", Json::object());
  Json after = *before;
  Json& labels = after["metadata"]["labels"];
  if (labels.is_null()) labels = Json::object();
  const Json* owned = AppliedBy(*before, manager);
  const Json labels_before = labels;
  for (const auto& [key, value] : labels_before.items()) {
    if (OwnsLabel(owned, key) && !wanted.contains(key)) labels.erase(key);
    if (!OwnsLabel(owned, key) && wanted.contains(key) && wanted.at(key) != value && !force) {
      return {409, "Conflict", "conflict with \"kubectl\": .metadata.labels." + key, {}};
    }
  }
  labels.update(wanted);
  Json entries = Json::array();
  for (const Json& entry : before->at("metadata").value("managedFields", Json::array())) {
    if (entry.at("manager") != manager) entries.push_back(entry);
  }
  if (!wanted.empty()) entries.push_back(LabelsEntry(manager, wanted));
  after["metadata"]["managedFields"] = entries;
  if (after != *before) Put(path, after);
  return {200, "", "", *Find(path)};
}

}  // namespace npu_ipc
