// Where the API server is, whom it must prove to be, and who we are to it.
#pragma once

#include <stdint.h>

#include <functional>
#include <optional>
#include <string>

#include "hal/base/result.h"
#include "plugin/cluster/secret.h"

namespace npu_ipc::cluster {

// A certificate, a private key or a token: a file, which is read again whenever it is needed
// because it rotates, or else the text itself.
struct Credential {
  std::string path;
  Secret text;  // used when `path` is empty

  bool empty() const { return path.empty() && text.empty(); }
  // The file's content or the text. Fails as ReadFile() does; the message names the file only.
  Result<Secret> Read() const;
};

// A plain value; safe to copy between threads. Made by InClusterConfig() or LoadKubeconfig(), which
// check it.
struct ClusterConfig {
  std::string source;     // for messages: "service account", "kubeconfig PATH (context 'NAME')"
  std::string host;       // a DNS name, or an IPv4 or IPv6 address without brackets
  uint16_t port = 443;    //
  bool tls = true;        // false: plain HTTP, which carries no credential
  std::string base_path;  // of the server's URL, in front of "/api": empty, or "/k8s/clusters/c-1"

  // Signs the server's certificate. Empty: the system's roots.
  Credential certificate_authority;
  // The server's certificate is not looked at. Only ever set where it was asked for twice.
  bool skip_server_verification = false;

  Credential token;               // empty: none is sent
  Credential client_certificate;  // PEM chain; empty: none is shown
  Credential client_key;          // PEM, not encrypted; there exactly when the certificate is

  std::string default_namespace;  // of the service account or the context; may be empty

  // What this is now, of a kubeconfig that may have been written anew; safe for concurrent use.
  // Null: nothing changes but the files above.
  std::function<Result<ClusterConfig>()> read_again;
};

// "https://[::1]:6443", without the base path: for messages.
std::string ServerName(const ClusterConfig& config);

using GetEnvironment = std::function<std::optional<std::string>(const char* name)>;
std::optional<std::string> ProcessEnvironment(const char* name);  // getenv

// What the kubelet gives to a pod that has a service account: KUBERNETES_SERVICE_HOST and _PORT,
// and token, ca.crt and namespace in /var/run/secrets/kubernetes.io/serviceaccount below `root`.
// kFailedPrecondition when this process is in no such pod, or its service account is not mounted
// (automountServiceAccountToken: false); kInvalidArgument for a port that is none. The files are
// read once to see that they can be, and again whenever they are used.
Result<ClusterConfig> InClusterConfig(const std::string& root = "",
                                      const GetEnvironment& environment = ProcessEnvironment);

}  // namespace npu_ipc::cluster
