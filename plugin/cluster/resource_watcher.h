// Keeps up with the objects of a collection: one list, then one watch.
#pragma once

#include <stdint.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "hal/base/clock.h"
#include "plugin/cluster/api_client.h"
#include "plugin/cluster/backoff.h"
#include "plugin/cluster/canceller.h"
#include "plugin/cluster/json.h"
#include "plugin/cluster/resource.h"

namespace npu_ipc::cluster {

// Which object it is: the uid is its own for ever, the name may be another object's later.
struct ObjectKey {
  std::string uid;
  std::string object_namespace;  // empty for objects of the cluster
  std::string name;
};

struct WatchState {
  bool synced = false;  // everything has been listed at least once
  // Why the sink may not know the latest, in words; empty while a watch is open or is renewed in
  // the ordinary course.
  std::string problem = "nothing has been listed yet";
  TimePoint since;  // when the trouble began, whatever it was first; or when it was over
  uint64_t lists = 0;
  uint64_t watches = 0;
  uint64_t events = 0;   // without bookmarks
  uint64_t skipped = 0;  // lines and objects that made no sense
};

// What a watcher tells, on the watcher's own thread, in the order in which the server did. A slow
// sink delays the next event; it may not destroy the watcher.
class ResourceSink {
 public:
  virtual ~ResourceSink() = default;
  virtual void OnAdded(const ObjectKey& key, const Json& object) = 0;
  virtual void OnModified(const ObjectKey& key, const Json& object) = 0;
  // Deleted, or selected no longer. Also those that went while there was no watch.
  virtual void OnDeleted(const ObjectKey& key) = 0;
  // What was told so far is the whole collection at one resource version: after each list.
  virtual void OnSynced() = 0;
  // `synced` or `problem` is another than before.
  virtual void OnStateChanged(const WatchState& state) = 0;
};

struct ResourceWatcherOptions {
  Selection selection;
  MemberFilter left_out;  // of each object, metadata's name, namespace, uid and version never
  size_t page_size = 500;
  size_t max_line_bytes = 8 << 20;
  Duration call_timeout = std::chrono::seconds(30);  // to list a page, to start a watch
  // A watch is asked for as long as this and up to as long again.
  Duration watch_duration = std::chrono::minutes(5);
  BackoffOptions backoff;
  // Tests put their own in.
  RandomFunction random = Random;
  PauseFunction pause = Pause;
  const Clock* clock = &SystemClock();
};

// Lists with consistent reads (what was there before is never seen again), watches from there with
// bookmarks, and resumes where a watch ended: it lists again only when that version has expired
// (410). Between failed attempts it backs off, for as long as Retry-After says at least; it never
// polls. A line that is no event, an object without its metadata, and a line longer than
// `max_line_bytes` are logged, counted and skipped.
//
// Memory: a key and a version for each object, and the line or page at hand.
class ResourceWatcher final : private WatchLines {
 public:
  // Starts at once. `client` and `sink` must outlive it.
  ResourceWatcher(ApiClient& client, ObjectPath collection, ResourceWatcherOptions options,
                  ResourceSink& sink);
  // Ends what is under way at once. The sink is not called afterwards.
  ~ResourceWatcher() override;
  ResourceWatcher(const ResourceWatcher&) = delete;
  ResourceWatcher& operator=(const ResourceWatcher&) = delete;

  WatchState state() const;  // any thread

 private:
  struct Known {
    ObjectKey key;
    std::string resource_version;
    uint64_t seen_in_list = 0;
  };

  void Run();
  void List();
  void TakeList(const Listing& listing);
  void Watch();
  void OnEstablished() override;
  bool OnLine(std::string_view line) override;
  void OnLineTooLong(size_t max_line_bytes) override;
  bool TakeObject(const Json& object, bool deleted);
  void Skip(const std::string& what);
  void BackOff(const Reply& failure);
  void SetProblem(const std::string& problem);
  template <class Change>
  void ChangeState(Change change);

  ApiClient& client_;
  const ObjectPath collection_;
  const ResourceWatcherOptions options_;
  ResourceSink& sink_;
  Canceller canceller_;

  mutable std::mutex mutex_;
  WatchState state_;  // guarded by mutex_; written by thread_ only

  // thread_'s own:
  Backoff backoff_;
  std::unordered_map<std::string, Known> known_;  // by uid
  std::string resource_version_;                  // empty: list
  bool progress_ = false;                         // in the watch that is open
  std::unique_ptr<Reply> stream_failure_;         // an ERROR event

  std::thread thread_;
};

}  // namespace npu_ipc::cluster
