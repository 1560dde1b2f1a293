// The pod directory of a node of a cluster: what the API server says.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "plugin/cluster/api_client.h"
#include "plugin/cluster/resource_watcher.h"
#include "plugin/pods/checkpoint.h"
#include "plugin/pods/directory.h"

namespace npu_ipc::pods {

struct ApiDirectoryOptions {
  std::string node_name;        // whose pods: spec.nodeName
  std::string state_directory;  // where pods are kept over a restart; empty: nowhere
  Duration save_interval = std::chrono::seconds(1);  // at most so often
  cluster::ResourceWatcherOptions watcher;           // what to select and to leave out is set here
};

// Lists the pods of one node and watches them from there, on a thread of its own, which hands what
// it has read over to the loop's in batches: the table is the loop's alone, and one changed pod
// costs one pod. A pod that makes no sense is logged and not there; it is in nobody's way.
//
// While the API server is away the pods stay as they were last known; state() says what is wrong
// and the watcher goes on trying. Nothing is ever polled, so that Refresh() has nothing to do.
//
// With a state directory it begins with the pods that an earlier process knew last (checkpoint.h),
// and state().synced is false until the API server has been heard: then they are told as changed
// where they differ, and those that are gone as well.
class ApiPodDirectory final : public PodDirectory {
 public:
  // Starts at once, and returns before anything has been read. `loop` must outlive the directory.
  ApiPodDirectory(EventLoop& loop, cluster::ClusterConfig config,
                  const ApiDirectoryOptions& options);
  ~ApiPodDirectory() override;

  std::shared_ptr<const Pod> Find(const std::string& uid) const override;
  DirectoryState state() const override;
  void OnChange(Listener listener) override;
  void Refresh() override {}

 private:
  class Inbox;
  struct Batch;

  void Take(Batch batch);
  void SaveSoon();
  std::string NoPods() const;

  EventLoop& loop_;
  const std::string node_name_;
  const Duration save_interval_;
  cluster::ApiClient client_;
  std::unique_ptr<PodCheckpoint> checkpoint_;  // null: none is kept
  // The loop's own:
  PodTable pods_;
  bool synced_ = false;
  std::string problem_ = "the API server has not been asked yet";
  Listener listener_;
  std::optional<EventLoop::TimerId> save_timer_;  // set: to be saved

  std::shared_ptr<Inbox> inbox_;
  std::unique_ptr<cluster::ResourceWatcher> watcher_;  // last: it ends first
};

}  // namespace npu_ipc::pods
