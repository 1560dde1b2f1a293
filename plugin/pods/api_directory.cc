#include "plugin/pods/api_directory.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <utility>

namespace npu_ipc::pods {
namespace {

cluster::ResourceWatcherOptions WatcherOptions(const ApiDirectoryOptions& options) {
  cluster::ResourceWatcherOptions watcher = options.watcher;
  watcher.selection.field_selector = "spec.nodeName=" + options.node_name;
  // All but the metadata and the containers' names and ids.
  watcher.left_out =
      cluster::MemberFilter({"spec", "metadata.managedFields", "metadata.ownerReferences",
                             "status.conditions", "status.resourceClaimStatuses"});
  return watcher;
}

}  // namespace

// What has been read since the loop last looked.
struct ApiPodDirectory::Batch {
  std::vector<PodChange> changes;
  bool whole = false;  // what the changes do not name is gone: the first list
  cluster::WatchState state;
};

// Filled on the watcher's thread, emptied on the loop's.
class ApiPodDirectory::Inbox final : public cluster::ResourceSink,
                                     public std::enable_shared_from_this<Inbox> {
 public:
  Inbox(EventLoop& loop, std::function<void(Batch)> take) : loop_(loop), take_(std::move(take)) {}

  void OnAdded(const cluster::ObjectKey& key, const cluster::Json& object) override {
    Read(key, object);
  }
  void OnModified(const cluster::ObjectKey& key, const cluster::Json& object) override {
    Read(key, object);
  }
  void OnDeleted(const cluster::ObjectKey& key) override { Add({key.uid, std::nullopt}); }
  void OnSynced() override {
    const std::lock_guard lock(mutex_);
    if (!synced_) next_.whole = true;
    synced_ = true;
    Announce();
  }
  void OnStateChanged(const cluster::WatchState& state) override {
    const std::lock_guard lock(mutex_);
    next_.state = state;
    Announce();
  }

 private:
  void Read(const cluster::ObjectKey& key, const cluster::Json& object) {
    Result<Pod> pod = ReadPod(object, "pod " + key.object_namespace + "/" + key.name);
    if (pod.ok()) return Add({key.uid, std::move(pod).value()});
    // What it asked for before is not what it asks for now: it is not kept either.
    spdlog::error("a pod of the API server makes no sense and is left out: {}",
                  pod.status().message());
    Add({key.uid, std::nullopt});
  }

  void Add(PodChange change) {
    const std::lock_guard lock(mutex_);
    next_.changes.push_back(std::move(change));
    // Of the first list, half is worse than nothing: a pod that is missing may yet come.
    if (synced_) Announce();
  }

  // REQUIRES: mutex_ is held.
  void Announce() {
    if (std::exchange(announced_, true)) return;
    loop_.Post([weak = weak_from_this()] {
      if (const std::shared_ptr<Inbox> self = weak.lock()) self->Deliver();
    });
  }

  void Deliver() {
    Batch batch;
    {
      const std::lock_guard lock(mutex_);
      announced_ = false;
      batch.state = next_.state;
      if (synced_) std::swap(batch, next_);
      next_.state = batch.state;
    }
    take_(std::move(batch));
  }

  EventLoop& loop_;
  const std::function<void(Batch)> take_;  // called on the loop's thread
  std::mutex mutex_;
  Batch next_;              // guarded by mutex_
  bool synced_ = false;     // guarded by mutex_: the first list is complete
  bool announced_ = false;  // guarded by mutex_: a Deliver() is under way
};

ApiPodDirectory::ApiPodDirectory(EventLoop& loop, cluster::ClusterConfig config,
                                 const ApiDirectoryOptions& options)
    : loop_(loop),
      node_name_(options.node_name),
      save_interval_(options.save_interval),
      client_(std::move(config)) {
  if (!options.state_directory.empty()) {
    checkpoint_ = std::make_unique<PodCheckpoint>(options.state_directory, node_name_);
    pods_.Replace(checkpoint_->Load());
  }
  inbox_ = std::make_shared<Inbox>(loop, [this](Batch batch) { Take(std::move(batch)); });
  watcher_ = std::make_unique<cluster::ResourceWatcher>(
      client_, cluster::ObjectPath{cluster::kPods, "", ""}, WatcherOptions(options), *inbox_);
}

ApiPodDirectory::~ApiPodDirectory() {
  if (!save_timer_) return;
  loop_.Cancel(*save_timer_);
  checkpoint_->Save(pods_.All());
}

std::shared_ptr<const Pod> ApiPodDirectory::Find(const std::string& uid) const {
  return pods_.Find(uid);
}

DirectoryState ApiPodDirectory::state() const {
  DirectoryState state{synced_ && problem_.empty(), problem_, pods_.size(), synced_};
  if (synced_ && problem_.empty() && state.pods == 0) state.problem = NoPods();
  return state;
}

std::string ApiPodDirectory::NoPods() const {
  return "the API server has no pods of node " + node_name_ + ": is that its name (node.name)?";
}

void ApiPodDirectory::OnChange(Listener listener) {
  listener_ = std::move(listener);
  if (listener_ && pods_.size() > 0) listener_(pods_.CgroupUids());
}

void ApiPodDirectory::Take(Batch batch) {
  if (batch.whole) {
    std::vector<PodChange> all;
    for (const std::shared_ptr<const Pod>& pod : pods_.All()) all.push_back({pod->uid, {}});
    std::move(batch.changes.begin(), batch.changes.end(), std::back_inserter(all));
    batch.changes = std::move(all);
    synced_ = true;
  }
  const std::vector<std::string> changed = pods_.Apply(std::move(batch.changes));
  problem_ = batch.state.problem;
  if (batch.whole && pods_.size() == 0) spdlog::warn("{}", NoPods());
  if (batch.whole || !changed.empty()) SaveSoon();
  if (listener_) listener_(changed);
}

// Never what has not been heard from the API server: nothing is saved before the first list.
void ApiPodDirectory::SaveSoon() {
  if (checkpoint_ == nullptr || save_timer_) return;
  save_timer_ = loop_.RunAfter(save_interval_, [this] {
    save_timer_.reset();
    checkpoint_->Save(pods_.All());
  });
}

}  // namespace npu_ipc::pods
