// A kubeconfig file, as far as a daemon that nobody sits in front of can use one.
#pragma once

#include <string>

#include "hal/base/result.h"
#include "plugin/cluster/cluster_config.h"

namespace npu_ipc::cluster {

struct KubeconfigOptions {
  std::string context;  // empty: the file's current-context
  // Without it a cluster entry that says insecure-skip-tls-verify is refused.
  bool allow_insecure_skip_tls_verify = false;
};

// Reads `path` and takes from it one context's server, certificate authority, and token or client
// certificate, each as data or as a file (a relative path starts at the kubeconfig's directory).
// Where an entry holds both, data wins over a file, and tokenFile over token, as for kubectl.
//
// kInvalidArgument names the entry and what is wrong with it; kNotFound says that the file or the
// context is missing; kUnimplemented names what is refused rather than half done: exec and
// auth-provider plugins (they start programs and prompt), user names with passwords, impersonation,
// proxies, and tls-server-name. `read_again` reads the file anew with the same options. A token or
// key of the file never shows in a message. Never throws.
Result<ClusterConfig> LoadKubeconfig(const std::string& path,
                                     const KubeconfigOptions& options = {});

}  // namespace npu_ipc::cluster
