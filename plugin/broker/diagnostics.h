// Answers at the admin socket out of what the loop's thread owns.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "plugin/admin/node_snapshot.h"
#include "plugin/admin/request.h"
#include "plugin/admin/server.h"
#include "plugin/broker/messages.h"
#include "plugin/broker/recent_events.h"
#include "plugin/broker/share_registry.h"
#include "plugin/driver_records/driver_records.h"
#include "plugin/pods/directory.h"

namespace npu_ipc::broker {

// Takes a copy of what is asked for on the loop's thread, a little in each turn, so that clients
// wait for a fraction of a millisecond and not for a snapshot; the document is written on the
// server's thread. All methods are the loop thread's.
class Diagnostics {
 public:
  struct Sources {
    EventLoop& loop;
    const ShareRegistry& shares;
    const driver_records::DriverRecords& driver_records;
    // On the loop's thread: everything but the shares, the pods and the events.
    std::function<admin::NodeSnapshot()> describe_node;
    // The same: the directory may be another object than when this was made.
    std::function<const pods::PodDirectory&()> pods;
  };

  // What `sources` refers to must outlive this.
  explicit Diagnostics(Sources sources);
  // The loop must not run any more. Whoever waits for an answer is dropped.
  ~Diagnostics();

  // Serves at the socket from now on. Errors are admin::Server::Start()'s.
  Status Serve(const std::string& socket_path);

  void OnPodsChanged(const std::vector<std::string>& changed_uids);
  void OnRefused(const pods::Pod& pod, const Refusal& refusal);
  void OnUnknownRefused(pid_t pid, const std::string& pod_uid, const Refusal& refusal);
  void OnRevoked(const pods::Pod& pod, const Refusal& reason);

 private:
  struct Job;

  std::string Answer(const std::string& text);  // on the server's thread
  Result<admin::NodeSnapshot> TakeSnapshot(const admin::Request& request);
  void Begin(const std::shared_ptr<Job>& job);
  void Continue(const std::shared_ptr<Job>& job);

  const Sources sources_;
  std::set<std::string> pod_uids_;  // of cgroups; of every pod that the directory has
  RecentEvents events_;
  std::atomic<bool> ending_ = false;
  std::unique_ptr<admin::Server> server_;  // last: its thread uses what is above
};

}  // namespace npu_ipc::broker
