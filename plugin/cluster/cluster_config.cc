#include "plugin/cluster/cluster_config.h"

#include <stdlib.h>

#include <charconv>
#include <string_view>

#include "hal/base/process.h"

namespace npu_ipc::cluster {
namespace {

constexpr std::string_view kServiceAccountDirectory =
    "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr std::string_view kSpace = " \t\r\n";

std::string Trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

Result<Secret> Credential::Read() const {
  if (path.empty()) return text;
  Result<std::string> content = ReadFile(path);
  if (!content.ok()) return content.status();
  return Secret(Trimmed(*content));
}

std::string ServerName(const ClusterConfig& config) {
  const bool bracketed = config.host.find(':') != std::string::npos;
  return (config.tls ? "https://" : "http://") +
         (bracketed ? "[" + config.host + "]" : config.host) + ":" + std::to_string(config.port);
}

std::optional<std::string> ProcessEnvironment(const char* name) {
  const char* value = ::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

Result<ClusterConfig> InClusterConfig(const std::string& root, const GetEnvironment& environment) {
  const std::optional<std::string> host = environment("KUBERNETES_SERVICE_HOST");
  const std::optional<std::string> port = environment("KUBERNETES_SERVICE_PORT");
  if (!host || host->empty() || !port || port->empty()) {
    return Status(StatusCode::kFailedPrecondition,
                  "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; "
                  "give a kubeconfig instead");
  }
  ClusterConfig config;
  config.source = "service account";
  config.host = *host;
  const char* end = port->data() + port->size();
  const auto [stop, error] = std::from_chars(port->data(), end, config.port);
  if (error != std::errc() || stop != end || config.port == 0) {
    return Status(StatusCode::kInvalidArgument,
                  "KUBERNETES_SERVICE_PORT '" + *port + "' is no port");
  }
  const std::string directory = root + std::string(kServiceAccountDirectory);
  config.token.path = directory + "/token";
  config.certificate_authority.path = directory + "/ca.crt";
  for (const Credential* credential : {&config.token, &config.certificate_authority}) {
    const Result<Secret> content = credential->Read();
    if (!content.ok()) {
      return Status(
          StatusCode::kFailedPrecondition,
          content.status().message() + " (is automountServiceAccountToken false for this pod?)");
    }
    if (content->empty()) {
      return Status(StatusCode::kFailedPrecondition, credential->path + " is empty");
    }
  }
  // The only file that may be missing: nothing here depends on it.
  if (const Result<std::string> name = ReadFile(directory + "/namespace"); name.ok()) {
    config.default_namespace = Trimmed(*name);
  }
  return config;
}

}  // namespace npu_ipc::cluster
