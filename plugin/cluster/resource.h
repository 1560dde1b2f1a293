// Names of the Kubernetes API: kinds of objects, and the paths that they live at.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace npu_ipc::cluster {

// A kind of object, as the API's paths name it. Values.
struct Resource {
  std::string group;  // empty for the core group
  std::string version;
  std::string plural;
};

// Which objects of a resource: those of `object_namespace`, or where it is empty of the whole
// cluster; and of these the one called `name`, or where it is empty all.
struct ObjectPath {
  Resource resource;
  std::string object_namespace;
  std::string name;
};

inline const Resource kPods{"", "v1", "pods"};
inline const Resource kNodes{"", "v1", "nodes"};
inline const Resource kEvents{"", "v1", "events"};

// "/api/v1/namespaces/ns/pods/name", "/apis/apps/v1/deployments"; each part percent-encoded.
std::string UrlPath(const ObjectPath& path);

// "nodes/node-1", "pods in ns", "deployments.apps": for messages.
std::string Describe(const ObjectPath& path);

using QueryParameters = std::vector<std::pair<std::string, std::string>>;

// "?a=b&c=d" percent-encoded; empty for none.
std::string UrlQuery(const QueryParameters& parameters);

// All but RFC 3986's unreserved characters as %XX.
std::string PercentEncoded(std::string_view text);

}  // namespace npu_ipc::cluster
