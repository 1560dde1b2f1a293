#include "plugin/cluster/kubeconfig.h"

#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "hal/base/process.h"

namespace npu_ipc::cluster {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

Status Invalid(const std::string& message) { return {StatusCode::kInvalidArgument, message}; }

// An absent, null or non-scalar member reads as empty: what must be there is checked for by name.
std::string Text(const YAML::Node& map, const char* key) {
  if (!map.IsMap()) return {};
  const YAML::Node value = map[key];
  return value.IsDefined() && value.IsScalar() ? value.Scalar() : std::string();
}

bool Has(const YAML::Node& map, const char* key) {
  if (!map.IsMap()) return false;
  const YAML::Node value = map[key];
  return value.IsDefined() && !value.IsNull();
}

// Of `list` (clusters, users, contexts) the member `kind` of the entry that is called `name`.
Result<YAML::Node> FindNamed(const YAML::Node& root, const char* list, const char* kind,
                             const std::string& name) {
  const YAML::Node entries = root[list];
  if (entries.IsDefined() && entries.IsSequence()) {
    for (const YAML::Node& entry : entries) {
      if (Text(entry, "name") != name) continue;
      if (!Has(entry, kind)) break;
      return YAML::Node(entry[kind]);
    }
  }
  return Status(StatusCode::kNotFound, "has no " + std::string(kind) + " '" + name + "'");
}

Result<std::string> DecodeBase64(std::string text, const std::string& where) {
  text.erase(std::remove_if(text.begin(), text.end(),
                            [](unsigned char c) { return c == '\n' || c == '\r' || c == ' '; }),
             text.end());
  std::string decoded(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(decoded.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  if (length < 0 || text.empty()) return Invalid(where + " is not base64");
  // EVP_DecodeBlock counts the padding as zero bytes.
  const size_t padding = text.size() - (text.find_last_not_of('=') + 1);
  decoded.resize(static_cast<size_t>(length) - std::min<size_t>(padding, length));
  return decoded;
}

// "<key>-data" (base64) or "<key>" (a path) of `map`.
Result<Credential> ReadCredential(const YAML::Node& map, const std::string& key,
                                  const std::filesystem::path& directory) {
  Credential credential;
  if (const std::string data = Text(map, (key + "-data").c_str()); !data.empty()) {
    Result<std::string> text = DecodeBase64(data, key + "-data");
    if (!text.ok()) return text.status();
    credential.text = Secret(std::move(text).value());
  } else if (const std::string path = Text(map, key.c_str()); !path.empty()) {
    credential.path = (directory / path).string();
  }
  return credential;
}

// "https://host:port/base" into its parts.
Status ReadServer(const std::string& server, ClusterConfig* config) {
  // Not quoted: it may hold a password.
  const Status invalid =
      Invalid("its server is not http(s)://host[:port][/path], without a user or a query");
  std::string_view rest = server;
  config->tls = rest.starts_with("https://");
  if (!config->tls && !rest.starts_with("http://")) return invalid;
  rest.remove_prefix(config->tls ? 8 : 7);
  config->port = config->tls ? 443 : 80;
  if (rest.find_first_of("@?# ") != std::string_view::npos) return invalid;
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    config->base_path = rest.substr(slash);
    while (config->base_path.ends_with('/')) config->base_path.pop_back();
    rest = rest.substr(0, slash);
  }
  if (rest.starts_with('[')) {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) return invalid;
    config->host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
  } else {
    const size_t colon = rest.find(':');
    config->host = rest.substr(0, colon);
    rest.remove_prefix(config->host.size());
  }
  if (config->host.empty()) return invalid;
  if (rest.empty()) return Status::Ok();
  if (!rest.starts_with(':')) return invalid;
  const std::string_view port = rest.substr(1);
  const auto [stop, error] = std::from_chars(port.data(), port.data() + port.size(), config->port);
  if (error != std::errc() || stop != port.data() + port.size() || config->port == 0) {
    return invalid;
  }
  return Status::Ok();
}

Status RefuseUnsupported(const YAML::Node& map,
                         std::initializer_list<std::pair<const char*, const char*>> refused) {
  for (const auto& [key, way_out] : refused) {
    if (Has(map, key)) {
      return {StatusCode::kUnimplemented,
              "'" + std::string(key) + "' is not supported: " + way_out};
    }
  }
  return Status::Ok();
}

Status ReadCluster(const YAML::Node& cluster, const std::filesystem::path& directory,
                   const KubeconfigOptions& options, ClusterConfig* config) {
  Status status = RefuseUnsupported(
      cluster, {{"proxy-url", "the API server must be reachable without a proxy"},
                {"tls-server-name", "the server's certificate must name its host"}});
  if (!status.ok()) return status;
  if (status = ReadServer(Text(cluster, "server"), config); !status.ok()) return status;
  Result<Credential> authority = ReadCredential(cluster, "certificate-authority", directory);
  if (!authority.ok()) return authority.status();
  config->certificate_authority = std::move(authority).value();
  const std::string skip = Text(cluster, "insecure-skip-tls-verify");
  if (skip != "true") return Status::Ok();
  if (!options.allow_insecure_skip_tls_verify) {
    return {StatusCode::kFailedPrecondition,
            "insecure-skip-tls-verify: anybody on the way could be the API server; give its "
            "certificate-authority instead, or allow it explicitly"};
  }
  config->skip_server_verification = true;
  return Status::Ok();
}

Status ReadUser(const YAML::Node& user, const std::filesystem::path& directory,
                ClusterConfig* config) {
  constexpr const char* kUseToken = "use a token, a tokenFile or a client certificate";
  Status status = RefuseUnsupported(user, {{"exec", kUseToken},
                                           {"auth-provider", kUseToken},
                                           {"username", kUseToken},
                                           {"password", kUseToken},
                                           {"as", "use the credentials of the account itself"}});
  if (!status.ok()) return status;
  if (const std::string file = Text(user, "tokenFile"); !file.empty()) {
    config->token.path = (directory / file).string();
  } else {
    config->token.text = Secret(Text(user, "token"));
  }
  Result<Credential> certificate = ReadCredential(user, "client-certificate", directory);
  if (!certificate.ok()) return certificate.status();
  Result<Credential> key = ReadCredential(user, "client-key", directory);
  if (!key.ok()) return key.status();
  if (certificate->empty() != key->empty()) {
    return Invalid("client-certificate and client-key must be given together");
  }
  config->client_certificate = std::move(certificate).value();
  config->client_key = std::move(key).value();
  return Status::Ok();
}

Status Read(const YAML::Node& root, const std::filesystem::path& directory,
            const KubeconfigOptions& options, const std::string& name, ClusterConfig* config) {
  const Result<YAML::Node> context = FindNamed(root, "contexts", "context", name);
  if (!context.ok()) return context.status();
  config->default_namespace = Text(*context, "namespace");
  const std::string cluster_name = Text(*context, "cluster");
  const Result<YAML::Node> cluster = FindNamed(root, "clusters", "cluster", cluster_name);
  if (!cluster.ok()) return cluster.status();
  if (const Status status = ReadCluster(*cluster, directory, options, config); !status.ok()) {
    return status.WithContext("cluster '" + cluster_name + "'");
  }
  // A context without a user is anonymous.
  if (const std::string user_name = Text(*context, "user"); !user_name.empty()) {
    const Result<YAML::Node> user = FindNamed(root, "users", "user", user_name);
    if (!user.ok()) return user.status();
    if (const Status status = ReadUser(*user, directory, config); !status.ok()) {
      return status.WithContext("user '" + user_name + "'");
    }
  }
  if (!config->tls && (!config->token.empty() || !config->client_certificate.empty())) {
    return Invalid("cluster '" + cluster_name +
                   "': credentials would travel in the clear: its server must be https");
  }
  return Status::Ok();
}

}  // namespace

Result<ClusterConfig> LoadKubeconfig(const std::string& path, const KubeconfigOptions& options) {
  const Result<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status().WithContext("kubeconfig");
  const std::string file = "kubeconfig " + path;
  ClusterConfig config;
  config.read_again = [path, options] { return LoadKubeconfig(path, options); };
  // yaml-cpp reports by throwing, and a node that is not there throws where it is used.
  try {
    const YAML::Node root = YAML::Load(*text);
    if (!root.IsMap()) return Invalid(file + " is not a YAML mapping");
    const std::string context =
        options.context.empty() ? Text(root, "current-context") : options.context;
    if (context.empty()) return Invalid(file + " has no current-context; name a context");
    config.source = file + " (context '" + context + "')";
    const Status status =
        Read(root, std::filesystem::path(path).parent_path(), options, context, &config);
    if (!status.ok()) return status.WithContext(file);
  } catch (const YAML::Exception& error) {
    // Of the message the position alone: its text may quote the file.
    return Invalid(file + " is not YAML: line " + std::to_string(error.mark.line + 1) +
                   ", column " + std::to_string(error.mark.column + 1));
  }
  return config;
}

}  // namespace npu_ipc::cluster
