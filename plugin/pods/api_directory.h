// The pod directory of a node of a cluster: what the API server says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "plugin/cluster/api_client.h"
#include "plugin/cluster/resource_watcher.h"
#include "plugin/pods/directory.h"

namespace npu_ipc::pods {

struct ApiDirectoryOptions {
  std::string node_name;                    // whose pods: spec.nodeName
  cluster::ResourceWatcherOptions watcher;  // what to select and to leave out is set here
};

// Lists the pods of one node and watches them from there, on a thread of its own, which hands what
// it has read over to the loop's in batches: the table is the loop's alone, and one changed pod costs
// one pod. A pod that makes no sense is logged and not there; it is in nobody's way.
//
// While the API server is away the pods stay as they were last known; state() says what is wrong and
// the watcher goes on trying. Nothing is ever polled, so that Refresh() has nothing to do.
class ApiPodDirectory final : public PodDirectory {
 public:
  // Starts at once, and returns before anything has been read. `loop` must outlive the directory.
  ApiPodDirectory(EventLoop& loop, cluster::ClusterConfig config, ApiDirectoryOptions options);
  ~ApiPodDirectory() override;

  std::shared_ptr<const Pod> Find(const std::string& uid) const override;
  DirectoryState state() const override;
  void OnChange(Listener listener) override;
  void Refresh() override {}

 private:
  class Inbox;
  struct Batch;

  void Take(Batch batch);
  std::string NoPods() const;

  const std::string node_name_;
  cluster::ApiClient client_;
  // The loop's own:
  PodTable pods_;
  bool synced_ = false;
  std::string problem_ = "the API server has not been asked yet";
  Listener listener_;

  std::shared_ptr<Inbox> inbox_;
  std::unique_ptr<cluster::ResourceWatcher> watcher_;  // last: it ends first
};

}  // namespace npu_ipc::pods
