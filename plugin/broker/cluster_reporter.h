// What this node tells the API server: labels and Events. The device plugin has no token for that.
#pragma once

#include <stdint.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "plugin/broker/messages.h"
#include "plugin/broker/metrics.h"
#include "plugin/cluster/api_client.h"
#include "plugin/cluster/cluster_config.h"
#include "plugin/cluster/event_recorder.h"
#include "plugin/cluster/node_labeler.h"
#include "plugin/device_view/node_state.h"
#include "plugin/pods/pod.h"

namespace npu_ipc::broker {

// How to reach the API server, by cluster.enabled ("auto", "true" or "false") and
// cluster.kubeconfig; nullopt where nothing is to be told to one. A kubeconfig or a service account
// that cannot be used is an error, and with "true" so is one that is not there.
Result<std::optional<cluster::ClusterConfig>> FindCluster(const std::string& enabled,
                                                          const std::string& kubeconfig);

// Safe for concurrent use. Nothing here waits for the API server: what it has not taken yet is
// queued up to a limit, and what is dropped is counted.
class ClusterReporter {
 public:
  // An empty `node_name` leaves the node alone: Events on pods only.
  ClusterReporter(cluster::ClusterConfig config, std::string node_name);

  // An Event on the pod where its annotations are the reason: what its owner can change. One
  // refusal again and again is one Event with a count.
  void OnRefused(const pods::Pod& pod, const Refusal& refusal);

  // The same of a right that was in use and was taken back.
  void OnRevoked(const pods::Pod& pod, const Refusal& reason);

  // Labels the node, and writes an Event on it for what changed (NodeEvents()).
  void OnNodeState(std::shared_ptr<const device_view::NodeState> state);

  ApiCounts counts() const;

 private:
  const std::string node_name_;
  cluster::ApiClient client_;
  cluster::EventRecorder recorder_;
  std::unique_ptr<cluster::NodeLabeler> labeler_;  // null without a name

  std::mutex mutex_;
  std::shared_ptr<const device_view::NodeState> state_;  // guarded by mutex_; the last
  std::optional<cluster::Labels> set_labels_;            // guarded by mutex_
};

// Why a process was refused, as an Event on its pod has it; nullopt where that has nothing to do
// with the pod's annotations. Pure.
std::optional<cluster::Event> RefusalEvent(const pods::Pod& pod, const Refusal& refusal);

// Why a right was taken back, as an Event on the pod that had it. Pure.
cluster::Event RevocationEvent(const pods::Pod& pod, const Refusal& reason);

}  // namespace npu_ipc::broker
