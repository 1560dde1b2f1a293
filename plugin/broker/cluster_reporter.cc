#include "plugin/broker/cluster_reporter.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "plugin/broker/node_report.h"
#include "plugin/cluster/kubeconfig.h"

namespace npu_ipc::broker {
namespace {

cluster::EventRecorderOptions RecorderOptions(const std::string& node_name) {
  cluster::EventRecorderOptions options;
  options.node_name = node_name;
  return options;
}

bool IsOfAnnotations(wire::Status status) {
  switch (status) {
    case wire::Status::kNoGroup:
    case wire::Status::kBadAnnotation:
    case wire::Status::kNotInGroup:
    case wire::Status::kRoleDenied:
    case wire::Status::kUnsupported:
    case wire::Status::kPolicyDenied:
    case wire::Status::kNamespaceDenied:
    case wire::Status::kQuotaExceeded:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<std::optional<cluster::ClusterConfig>> FindCluster(const std::string& enabled,
                                                          const std::string& kubeconfig) {
  using Found = std::optional<cluster::ClusterConfig>;
  if (enabled == "false") return Found();
  Result<cluster::ClusterConfig> config =
      kubeconfig.empty() ? cluster::InClusterConfig() : cluster::LoadKubeconfig(kubeconfig);
  if (config.ok()) return Found(std::move(*config));
  const bool none_there =
      kubeconfig.empty() && config.status().code() == StatusCode::kFailedPrecondition;
  if (enabled == "true" || !none_there) return config.status();
  spdlog::info("no labels and Events: {}", config.status().message());
  return Found();
}

std::optional<cluster::Event> RefusalEvent(const pods::Pod& pod, const Refusal& refusal) {
  if (!IsOfAnnotations(refusal.status)) return std::nullopt;
  return cluster::Event{cluster::PodSubject(pod.pod_namespace, pod.name, pod.uid),
                        cluster::EventType::kWarning, "ShareRefused",
                        std::string(StatusName(refusal.status)) + ": " + refusal.reason};
}

cluster::Event RevocationEvent(const pods::Pod& pod, const Refusal& reason) {
  return cluster::Event{cluster::PodSubject(pod.pod_namespace, pod.name, pod.uid),
                        cluster::EventType::kWarning, "ShareRevoked",
                        std::string(StatusName(reason.status)) + ": " + reason.reason};
}

ClusterReporter::ClusterReporter(cluster::ClusterConfig config, std::string node_name)
    : node_name_(std::move(node_name)),
      client_(std::move(config)),
      recorder_(client_, RecorderOptions(node_name_)) {
  if (!node_name_.empty()) labeler_ = std::make_unique<cluster::NodeLabeler>(client_, node_name_);
}

void ClusterReporter::OnRefused(const pods::Pod& pod, const Refusal& refusal) {
  std::optional<cluster::Event> event = RefusalEvent(pod, refusal);
  if (event) recorder_.Record(std::move(*event));
}

void ClusterReporter::OnRevoked(const pods::Pod& pod, const Refusal& reason) {
  recorder_.Record(RevocationEvent(pod, reason));
}

void ClusterReporter::OnNodeState(std::shared_ptr<const device_view::NodeState> state) {
  if (labeler_ == nullptr || state == nullptr || NothingKnownYet(*state)) return;
  const std::lock_guard lock(mutex_);
  if (state == state_) return;
  for (cluster::Event& event : NodeEvents(node_name_, state_.get(), *state)) {
    recorder_.Record(std::move(event));
  }
  state_ = std::move(state);
  cluster::Labels labels = NodeLabels(*state_);
  if (labels == set_labels_) return;  // most changes are of use and health
  set_labels_ = labels;
  if (const Status set = labeler_->SetLabels(std::move(labels)); !set.ok()) {
    spdlog::error("the node is not labelled: {}", set.message());
  }
}

ApiCounts ClusterReporter::counts() const {
  const cluster::EventCounts events = recorder_.counts();
  ApiCounts counts;
  counts.failed_calls = client_.failed_calls();
  counts.events_written = events.written;
  counts.events_dropped = events.dropped;
  counts.events_waiting = events.waiting;
  if (labeler_ != nullptr) {
    cluster::NodeLabelerState labels = labeler_->state();
    counts.labels_current = labels.current;
    counts.label_problem = std::move(labels.problem);
  }
  return counts;
}

}  // namespace npu_ipc::broker
