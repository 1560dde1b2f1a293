#include "plugin/broker/pod_source.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "plugin/pods/api_directory.h"
#include "plugin/pods/file_directory.h"

namespace npu_ipc::broker {
namespace {

Status NoSource() {
  return {StatusCode::kInvalidArgument,
          "pods.file is not set, and there is no API server to ask for this node's pods: run in a "
          "pod with a service account, set cluster.kubeconfig, or name a file that holds what "
          "'kubectl get pods -A -o json' prints"};
}

}  // namespace

Result<std::unique_ptr<pods::PodDirectory>> OpenPodDirectory(
    EventLoop& loop, const Settings& settings,
    const std::optional<cluster::ClusterConfig>& cluster) {
  if (!settings.pods_file.empty()) {
    if (cluster) {
      spdlog::warn(
          "the pods are those of pods.file, and what the API server knows of them is not "
          "asked for: file={} server={}",
          settings.pods_file, cluster::ServerName(*cluster));
    }
    auto directory = pods::FilePodDirectory::Open(loop, settings.pods_file);
    if (!directory.ok()) return directory.status().WithContext("pods.file");
    return std::unique_ptr<pods::PodDirectory>(std::move(directory).value());
  }
  if (!cluster) return NoSource();
  pods::ApiDirectoryOptions options;
  options.node_name = settings.node_name;
  if (settings.state_directory != "off") options.state_directory = settings.state_directory;
  spdlog::info("asking for the pods: server={} source={} node={}", cluster::ServerName(*cluster),
               cluster->source, settings.node_name);
  return std::unique_ptr<pods::PodDirectory>(
      std::make_unique<pods::ApiPodDirectory>(loop, *cluster, std::move(options)));
}

Status CheckPodSource(const Settings& settings) {
  if (!settings.pods_file.empty()) return Status::Ok();
  const bool has_cluster = settings.cluster_enabled == "true" ||
                           !settings.cluster_kubeconfig.empty() ||
                           cluster::ProcessEnvironment("KUBERNETES_SERVICE_HOST").has_value();
  if (settings.cluster_enabled == "false" || !has_cluster) return NoSource();
  if (!settings.node_name.empty()) return Status::Ok();
  return {StatusCode::kInvalidArgument,
          "node.name is not set: name the node whose pods the API server is to be asked for"};
}

}  // namespace npu_ipc::broker
