#include "plugin/cluster/resource.h"

namespace npu_ipc::cluster {
namespace {

bool Unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

}  // namespace

std::string PercentEncoded(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (Unreserved(c)) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return encoded;
}

std::string UrlPath(const ObjectPath& path) {
  const Resource& resource = path.resource;
  std::string url = resource.group.empty() ? "/api" : "/apis/" + PercentEncoded(resource.group);
  url += "/" + PercentEncoded(resource.version);
  if (!path.object_namespace.empty()) {
    url += "/namespaces/" + PercentEncoded(path.object_namespace);
  }
  url += "/" + PercentEncoded(resource.plural);
  if (!path.name.empty()) url += "/" + PercentEncoded(path.name);
  return url;
}

std::string Describe(const ObjectPath& path) {
  std::string text = path.resource.plural;
  if (!path.resource.group.empty()) text += "." + path.resource.group;
  if (!path.name.empty()) text += "/" + path.name;
  if (!path.object_namespace.empty()) text += " in " + path.object_namespace;
  return text;
}

std::string UrlQuery(const QueryParameters& parameters) {
  std::string query;
  for (const auto& [name, value] : parameters) {
    query += (query.empty() ? "?" : "&") + PercentEncoded(name) + "=" + PercentEncoded(value);
  }
  return query;
}

}  // namespace npu_ipc::cluster
