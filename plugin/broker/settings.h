// The broker's settings.
#pragma once

#include <stdint.h>

#include <chrono>
#include <string>

#include "hal/base/clock.h"
#include "plugin/broker/share_registry.h"
#include "plugin/config/logging.h"
#include "plugin/config/options.h"
#include "plugin/device_view/socket.h"
#include "plugin/injection/injected_library.h"
#include "plugin/kubelet/device_plugin.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc::broker {

struct Settings {
  std::string socket_path = wire::kDefaultSocketPath;
  std::string pods_file;
  Duration pod_wait = std::chrono::seconds(10);
  Duration hello_timeout = std::chrono::seconds(10);
  Duration admit_deadline = std::chrono::seconds(5);
  Duration disconnect_grace = std::chrono::seconds(30);
  int64_t max_connections = 16;  // of one process
  int64_t max_regions = 4096;
  int64_t max_pending = 64;
  int64_t max_grants = 16384;
  std::string http_address = ":9500";
  std::string share_resource = "npu-ipc.io/share";
  int64_t share_ids = 4096;              // 0: the resource is not served
  std::string cluster_enabled = "auto";  // or true, false
  std::string cluster_kubeconfig;        // empty: the pod's service account
  std::string node_name;                 // empty: nothing is said of the node
  kubelet::KubeletSettings kubelet;
  injection::InjectedLibrary library;
  std::string device_view_socket = device_view::kDefaultSocket;
  config::LogSettings log;

  ShareLimits Limits() const;
};

// The node's name where nobody sets it: NODE_NAME, which the manifests take from spec.nodeName, or
// else the host name as the kubelet spells it.
std::string DefaultNodeName();

// Declares every setting. `settings` must outlive `options`.
void AddOptions(config::Options& options, Settings* settings);

// What no single setting can check for itself. kInvalidArgument.
Status Check(const Settings& settings);

}  // namespace npu_ipc::broker
