#include "plugin/broker/settings.h"

namespace npu_ipc::broker {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

ShareLimits Settings::Limits() const {
  ShareLimits limits;
  limits.regions = static_cast<size_t>(max_regions);
  limits.pending_requests = static_cast<size_t>(max_pending);
  limits.grants = static_cast<size_t>(max_grants);
  limits.admit_deadline = admit_deadline;
  limits.disconnect_grace = disconnect_grace;
  return limits;
}

void AddOptions(config::Options& options, Settings* settings) {
  options.Add("socket.path", "the socket that containers connect to; its directory is mounted",
              &settings->socket_path);
  options.Add("pods.file",
              "JSON file of this node's pods, as 'kubectl get pods -o json' prints them; watched",
              &settings->pods_file);
  options.Add("pods.waitTimeout",
              "how long a process waits for the pod directory to learn of its pod",
              &settings->pod_wait, milliseconds(0), minutes(10));
  options.Add("client.helloTimeout", "how long a connection may stay silent before it is dropped",
              &settings->hello_timeout, milliseconds(10), minutes(10));
  options.Add("admit.deadline", "how long an exporter may take to whitelist an importer",
              &settings->admit_deadline, milliseconds(10), minutes(10));
  options.Add("client.disconnectGrace",
              "how long the regions of a process that lost its connection stay published",
              &settings->disconnect_grace, milliseconds(0), hours(24));
  options.Add("client.maxConnections", "connections of one process", &settings->max_connections, 1,
              1024);
  options.Add("client.maxRegions", "regions that one process may publish", &settings->max_regions,
              1, 480000);
  options.Add("client.maxPending", "attach requests of one process that wait at once",
              &settings->max_pending, 1, 65536);
  options.Add("client.maxGrants", "mappings that one process may hold", &settings->max_grants, 1,
              1000000);
  options.Add("http.listenAddress",
              "host:port of /healthz, /readyz and /metrics; port 0 takes a free one; 'off' "
              "listens nowhere",
              &settings->http_address);
  config::AddLogOptions(options, &settings->log);
}

Status Check(const Settings& settings) {
  if (settings.socket_path.empty() || settings.socket_path.front() != '/') {
    return {StatusCode::kInvalidArgument,
            "socket.path '" + settings.socket_path + "' is not an absolute path"};
  }
  if (settings.pods_file.empty()) {
    return {StatusCode::kInvalidArgument,
            "pods.file is not set: name the file that holds this node's pods (the output of "
            "'kubectl get pods -A -o json')"};
  }
  return Status::Ok();
}

}  // namespace npu_ipc::broker
