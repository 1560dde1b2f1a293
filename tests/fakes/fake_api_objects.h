// The objects of a FakeApiServer, with the resource versions and the rules of writing them.
#pragma once

#include <stdint.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "plugin/cluster/resource.h"

namespace npu_ipc {

// Not thread safe.
class FakeApiObjects {
 public:
  using Json = nlohmann::json;

  struct Change {
    uint64_t version = 0;
    std::string collection;  // CollectionOf()
    Json before;             // null: it was created
    Json after;              // null: it was deleted
  };

  struct PatchOutcome {
    int http_status = 200;
    std::string reason;   // of a failure
    std::string message;  // of a failure
    Json object;          // of a success
  };

  // "/api/v1/pods", whatever the namespace.
  static std::string CollectionOf(const cluster::Resource& resource);
  // Whether `object` is in `object_namespace` (if any) and has what "a.b=c,d=e" asks for.
  static bool Matches(const Json& object, const std::string& object_namespace,
                      const std::string& field_selector);

  uint64_t version() const { return version_; }
  // Changes up to it are forgotten.
  uint64_t oldest_version() const { return oldest_version_; }
  const std::vector<Change>& changes() const { return changes_; }
  void Compact();

  const Json* Find(const cluster::ObjectPath& path) const;
  std::vector<Json> All(const cluster::Resource& resource) const;
  void Put(const cluster::ObjectPath& path, Json object);
  void Delete(const cluster::ObjectPath& path);
  PatchOutcome Merge(const cluster::ObjectPath& path, const Json& patch);
  // Of the object's labels only; whoever owned none of them before is "kubectl".
  PatchOutcome ApplyLabels(const cluster::ObjectPath& path, const Json& applied,
                           const std::string& manager, bool force);

 private:
  using Key = std::pair<std::string, std::string>;  // namespace, name

  uint64_t version_ = 100;
  uint64_t oldest_version_ = 100;
  uint64_t next_uid_ = 1;
  std::map<std::string, std::map<Key, Json>> collections_;
  std::vector<Change> changes_;
};

}  // namespace npu_ipc
