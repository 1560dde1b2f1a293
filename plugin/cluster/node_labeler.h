// Keeps our labels on our own node as they should be.
#pragma once

#include <stdint.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "hal/base/result.h"
#include "plugin/cluster/api_client.h"
#include "plugin/cluster/backoff.h"
#include "plugin/cluster/canceller.h"
#include "plugin/cluster/json.h"
#include "plugin/cluster/worker.h"

namespace npu_ipc::cluster {

// All labels that we set begin with it.
inline constexpr char kLabelPrefix[] = "npu-ipc.io/";

using Labels = std::map<std::string, std::string>;

// kInvalidArgument names the label that is not `kLabelPrefix` and a name, or whose value the API
// server would not take (63 characters of [A-Za-z0-9-_.], the first and the last of the former).
Status CheckLabels(const Labels& labels);

// What the node needs to have `labels` of ours and no other label that we set before; nullopt when
// it has. `node` is the object as the API server holds it, and the patch one of server-side apply
// by `field_manager`: labels with our prefix that somebody else set are not ours to remove.
std::optional<Json> LabelPatch(const Json& node, const Labels& labels,
                               const std::string& field_manager);

struct NodeLabelerOptions {
  std::string field_manager = "npu-ipc-broker";
  Duration call_timeout = std::chrono::seconds(30);
  // How long the labels of the node are taken to be what they were when it was last looked at.
  Duration look_again = std::chrono::minutes(5);
  BackoffOptions backoff;
  RandomFunction random = Random;
  PauseFunction pause = Pause;
};

struct NodeLabelerState {
  bool current = false;  // the node had the labels set last when it was last looked at
  std::string problem;   // why not; empty while nothing has failed
  uint64_t patches = 0;  // that were accepted
};

// Safe for concurrent use. Reads the node when labels are set, and every `look_again` from then on,
// and patches it if they differ, on a thread of its own; failures are tried again, with back-off.
// It needs the verbs get and patch on its node alone. It does not watch the node: what others do to
// the labels, and a node that was deleted and has registered anew, is put right at the next look.
// The destructor stops at once; the labels stay.
class NodeLabeler {
 public:
  // `client` must outlive it.
  NodeLabeler(ApiClient& client, std::string node_name, NodeLabelerOptions options = {});
  NodeLabeler(const NodeLabeler&) = delete;
  NodeLabeler& operator=(const NodeLabeler&) = delete;

  // All labels that the node should have of ours, in place of those set before. Returns at once;
  // fails as CheckLabels() does, and changes nothing then.
  Status SetLabels(Labels labels);

  NodeLabelerState state() const;

 private:
  std::optional<TimePoint> Step(Canceller& canceller);
  Status Write(const Labels& labels, Canceller& canceller, Duration* retry_after);
  std::string Problem(const Status& status) const;  // and the way out, for a person
  void Finish(const Status& status, uint64_t number);

  ApiClient& client_;
  const ObjectPath node_;
  const NodeLabelerOptions options_;

  mutable std::mutex mutex_;
  Labels wanted_;                // guarded by mutex_
  uint64_t wanted_number_ = 0;   // guarded by mutex_: counts SetLabels()
  uint64_t written_number_ = 0;  // guarded by mutex_: what the node has
  NodeLabelerState state_;       // guarded by mutex_

  // worker_'s own:
  Backoff backoff_;
  std::optional<TimePoint> look_again_;  // none: nothing was set yet

  Worker worker_;
};

}  // namespace npu_ipc::cluster
