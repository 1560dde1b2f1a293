#include "plugin/broker/settings.h"

#include <algorithm>
#include <filesystem>

#include "plugin/broker/pod_source.h"
#include "plugin/broker/share_resource.h"
#include "plugin/config/checks.h"
#include "plugin/kubelet/resource_name.h"

namespace npu_ipc::broker {

using config::CheckAbsolutePath;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

ShareLimits Settings::Limits() const {
  ShareLimits limits;
  limits.regions = static_cast<size_t>(max_regions);
  limits.pending_requests = static_cast<size_t>(max_pending);
  limits.grants = static_cast<size_t>(max_grants);
  limits.whitelist = static_cast<size_t>(max_whitelist);
  limits.subscriptions = static_cast<size_t>(max_subscriptions);
  limits.admitted_ahead = static_cast<size_t>(max_admitted_ahead);
  limits.pod.regions = static_cast<size_t>(max_pod_regions);
  limits.pod.pending_requests = static_cast<size_t>(max_pod_pending);
  limits.pod.grants = static_cast<size_t>(max_pod_grants);
  limits.pod.subscriptions = static_cast<size_t>(max_pod_subscriptions);
  limits.admit_deadline = admit_deadline;
  limits.rotate_drain = rotate_drain;
  limits.rotate_deadline = rotate_deadline;
  limits.disconnect_grace = disconnect_grace;
  limits.reclaim_window = reclaim_window;
  return limits;
}

QueueLimits Settings::Queues() const {
  return {static_cast<size_t>(max_queued_bytes), static_cast<size_t>(max_pod_queued_bytes)};
}

namespace {

void AddPodLimits(config::Options& options, Settings* settings) {
  options.Add("pod.maxConnections", "connections of all processes of one pod",
              &settings->max_pod_connections, 1, 65536);
  options.Add("pod.maxRegions", "regions that all processes of one pod may publish",
              &settings->max_pod_regions, 1, 480000);
  options.Add("pod.maxPending", "attach requests of all processes of one pod that wait at once",
              &settings->max_pod_pending, 1, 1000000);
  options.Add("pod.maxGrants", "mappings that all processes of one pod may hold",
              &settings->max_pod_grants, 1, 1000000);
  options.Add("pod.maxSubscriptions", "subscriptions of all processes of one pod",
              &settings->max_pod_subscriptions, 1, 1000000);
  options.Add(
      "pod.maxQueuedBytes",
      "bytes that wait to be read by all processes of one pod; whoever's would be more is dropped",
      &settings->max_pod_queued_bytes, 4096, int64_t{1} << 32);
}

void AddOptions(config::Options& options, Settings* settings) {
  options.Add("socket.path", "the socket that containers connect to; its directory is mounted",
              &settings->socket_path);
  options.Add(
      "pods.file",
      "JSON file of this node's pods, as 'kubectl get pods -o json' prints them; watched. It "
      "is then the only source: an API server is told (labels, Events) and not asked; "
      "empty: the API server is asked for them",
      &settings->pods_file);
  options.Add("pods.waitTimeout",
              "how long a process waits for the pod directory to learn of its pod",
              &settings->pod_wait, milliseconds(0), minutes(10));
  options.Add("driver.recordsDirectory",
              "where the driver tells what it has exported: what processes publish is held against "
              "it; where it is not there, nothing is",
              &settings->driver_records);
  options.Add("client.helloTimeout", "how long a connection may stay silent before it is dropped",
              &settings->hello_timeout, milliseconds(10), minutes(10));
  options.Add("admit.deadline", "how long an exporter may take to whitelist an importer",
              &settings->admit_deadline, milliseconds(10), minutes(10));
  options.Add("client.disconnectGrace",
              "how long the regions of a process that lost its connection stay published",
              &settings->disconnect_grace, milliseconds(0), hours(24));
  options.Add(
      "reclaim.window",
      "how long after the broker's start a withdraw waits for importers that it let in before",
      &settings->reclaim_window, milliseconds(0), minutes(10));
  options.Add("client.maxConnections", "connections of one process", &settings->max_connections, 1,
              1024);
  options.Add("client.maxRegions", "regions that one process may publish", &settings->max_regions,
              1, 480000);
  options.Add("client.maxPending", "attach requests of one process that wait at once",
              &settings->max_pending, 1, 65536);
  options.Add("client.maxGrants", "mappings that one process may hold", &settings->max_grants, 1,
              1000000);
  options.Add("share.maxWhitelist",
              "processes on the whitelist of one export key before the key is rotated; the driver "
              "ends at 32768",
              &settings->max_whitelist, 1, 32768);
  options.Add("share.rotateDrain",
              "how long importers have to close before a key is rotated under them",
              &settings->rotate_drain, milliseconds(0), hours(1));
  options.Add("share.rotateDeadline",
              "how long an exporter may take to rotate a key before its regions are given up",
              &settings->rotate_deadline, milliseconds(10), minutes(10));
  pods::AddClusterPolicyOptions(options, &settings->policy);
  options.Add("client.maxSubscriptions", "subscriptions of one process",
              &settings->max_subscriptions, 1, 65536);
  options.Add(
      "client.maxAdmittedAhead",
      "regions of one subscription whose exporters whitelist the process ahead of an attach",
      &settings->max_admitted_ahead, 0, 480000);
  options.Add("client.maxQueuedBytes",
              "bytes that wait to be read by one client before it is dropped",
              &settings->max_queued_bytes, 4096, int64_t{1} << 30);
  AddPodLimits(options, settings);
  options.Add("http.listenAddress",
              "host:port of /healthz, /readyz and /metrics; port 0 takes a free one; 'off' "
              "listens nowhere",
              &settings->http_address);
  options.Add(
      "admin.socket",
      "where root on this node asks about devices, pods and shares ('npu-ipc-broker query', "
      "'kubectl npu'), in a directory of its own; 'off': nowhere",
      &settings->admin_socket);
  options.Add("share.resourceName",
              "what a container requests to be given the library and the socket without an NPU",
              &settings->share_resource);
  options.Add("share.ids", "how many containers of the node may request it; 0: it is not served",
              &settings->share_ids, 0, ShareResource::kMaxIds);
  options.AddChoice(
      "cluster.enabled",
      "whether the API server is used: for the pods of this node (unless pods.file is set), its "
      "labels, and Events; auto: with cluster.kubeconfig, or where this is a pod with a service "
      "account",
      &settings->cluster_enabled, {"auto", "true", "false"});
  options.Add("cluster.kubeconfig",
              "kubeconfig file to reach the API server with; empty: the pod's service account",
              &settings->cluster_kubeconfig);
  options.Add(
      "state.directory",
      "where the pods of the API server, and who has which region name, are kept over a restart of "
      "the broker, for it alone to read; never below a directory that containers see; 'off': "
      "nowhere",
      &settings->state_directory);
  options.AddNodeName(&settings->node_name);
  options.Add("kubelet.devicePluginDirectory",
              "where the kubelet's registration socket is, and ours", &settings->kubelet.directory);
  injection::AddLibraryOptions(options, &settings->library);
  device_view::AddSocketOption(options, &settings->device_view_socket);
  config::AddLogOptions(options, &settings->log);
  // The others are of sockets, of names that the kubelet knows, and of what threads were started
  // with.
  options.MarkLive({"log.level",
                    "pods.waitTimeout",
                    "client.helloTimeout",
                    "admit.deadline",
                    "client.disconnectGrace",
                    "client.maxConnections",
                    "client.maxRegions",
                    "client.maxPending",
                    "client.maxGrants",
                    "share.maxWhitelist",
                    "share.rotateDrain",
                    "share.rotateDeadline",
                    "client.maxSubscriptions",
                    "client.maxAdmittedAhead",
                    "client.maxQueuedBytes",
                    "pod.maxConnections",
                    "pod.maxRegions",
                    "pod.maxPending",
                    "pod.maxGrants",
                    "pod.maxSubscriptions",
                    "pod.maxQueuedBytes"});
}

}  // namespace

config::Options DeclareOptions(Settings* settings) {
  config::Options options(
      "npu-ipc-broker",
      "Lets pods of one node that ask for it by annotation share NPU memory. "
      "Runs in the host's PID namespace (hostPID: true), otherwise unprivileged.",
      "NPU_IPC_BROKER");
  AddOptions(options, settings);
  return options;
}

namespace {

// The directory of socket.path is mounted into containers: whoever is root in one would be root
// here, too.
Status CheckAdminSocket(const Settings& settings) {
  if (settings.admin_socket == "off") return Status::Ok();
  if (Status checked = CheckAbsolutePath("admin.socket", settings.admin_socket); !checked.ok()) {
    return checked;
  }
  const auto shared = std::filesystem::path(settings.socket_path).lexically_normal().parent_path();
  const auto own = std::filesystem::path(settings.admin_socket).lexically_normal().parent_path();
  const auto [end_of_shared, in_own] =
      std::mismatch(shared.begin(), shared.end(), own.begin(), own.end());
  if (end_of_shared != shared.end()) return Status::Ok();
  return {StatusCode::kInvalidArgument, "admin.socket " + settings.admin_socket + " is in " +
                                            shared.string() +
                                            ", which containers see; name a directory of its own"};
}

}  // namespace

Status Check(const Settings& settings) {
  const Status checked = config::FirstFailure({
      CheckAbsolutePath("socket.path", settings.socket_path),
      CheckAbsolutePath("driver.recordsDirectory", settings.driver_records),
      settings.state_directory == "off"
          ? Status::Ok()
          : CheckAbsolutePath("state.directory", settings.state_directory),
      CheckAdminSocket(settings),
      kubelet::CheckResourceName("share.resourceName", settings.share_resource),
      CheckAbsolutePath("kubelet.devicePluginDirectory", settings.kubelet.directory),
      injection::CheckLibrary(settings.library),
      device_view::CheckSocket(settings.device_view_socket),
  });
  if (!checked.ok()) return checked;
  if (Status policy = pods::Check(settings.policy); !policy.ok()) return policy;
  return CheckPodSource(settings);
}

Result<Settings> Reload(const config::Start& start, const Settings& in_force) {
  return config::Reload(start, in_force, DeclareOptions,
                        [](Settings* settings) { return Check(*settings); });
}

}  // namespace npu_ipc::broker
