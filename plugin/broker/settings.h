// The broker's settings.
#pragma once

#include <stdint.h>

#include <chrono>
#include <string>

#include "hal/base/clock.h"
#include "plugin/admin/server.h"
#include "plugin/broker/connection.h"
#include "plugin/broker/share_limits.h"
#include "plugin/config/logging.h"
#include "plugin/config/options.h"
#include "plugin/config/reload.h"
#include "plugin/device_view/socket.h"
#include "plugin/driver_records/driver_records.h"
#include "plugin/injection/injected_library.h"
#include "plugin/kubelet/device_plugin.h"
#include "plugin/pods/cluster_policy.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc::broker {

struct Settings {
  std::string socket_path = wire::kDefaultSocketPath;
  std::string pods_file;
  std::string driver_records = driver_records::kDefaultDirectory;
  // Less than the 5 s that npu_ipc_open() lasts by default: a program is to hear the reason.
  Duration pod_wait = std::chrono::seconds(4);
  Duration hello_timeout = std::chrono::seconds(10);
  Duration admit_deadline = std::chrono::seconds(5);
  Duration disconnect_grace = std::chrono::seconds(30);
  Duration reclaim_window = std::chrono::seconds(5);
  int64_t max_connections = 16;  // of one process
  int64_t max_regions = 4096;
  int64_t max_pending = 64;
  int64_t max_grants = 16384;
  int64_t max_whitelist = 32000;  // processes on one key before it is rotated
  Duration rotate_drain = std::chrono::seconds(10);
  Duration rotate_deadline = std::chrono::seconds(10);
  pods::ClusterPolicy policy;
  int64_t max_subscriptions = 64;
  int64_t max_admitted_ahead = 1024;   // of one subscription
  int64_t max_queued_bytes = 1 << 20;  // of one connection
  int64_t max_pod_connections = 1024;  // from here on of all processes of a pod
  int64_t max_pod_regions = 32768;
  int64_t max_pod_pending = 1024;
  int64_t max_pod_grants = 131072;
  int64_t max_pod_subscriptions = 1024;
  int64_t max_pod_queued_bytes = 16 << 20;
  std::string http_address = ":9500";
  std::string admin_socket = admin::kDefaultSocket;  // "off": nothing is served
  std::string share_resource = "npu-ipc.io/share";
  int64_t share_ids = 4096;                                // 0: the resource is not served
  std::string cluster_enabled = "auto";                    // or true, false
  std::string cluster_kubeconfig;                          // empty: the pod's service account
  std::string state_directory = "/var/lib/npu-ipc/state";  // "off": nothing is kept
  std::string node_name;  // chooses the section of the config file, too
  kubelet::KubeletSettings kubelet;
  injection::InjectedLibrary library;
  std::string device_view_socket = device_view::kDefaultSocket;
  config::LogSettings log;

  ShareLimits Limits() const;
  QueueLimits Queues() const;
};

// Every setting, those marked that can change while the broker runs. `settings` must outlive it.
config::Options DeclareOptions(Settings* settings);

// What no single setting can check for itself. kInvalidArgument.
Status Check(const Settings& settings);

// The settings read again: those that can change as they are now, the others as they are
// `in_force`. Logs each difference; an error changes nothing.
Result<Settings> Reload(const config::Start& start, const Settings& in_force);

}  // namespace npu_ipc::broker
