// The last refusals and revocations, for whoever asks what went wrong.
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include <deque>
#include <string>
#include <vector>

#include "plugin/admin/node_snapshot.h"
#include "plugin/broker/messages.h"
#include "plugin/pods/pod.h"

namespace npu_ipc::broker {

// One thread. A pod that is refused again for the same reason moves to the end, with a count: so
// that one that tries all the time does not push out the others.
class RecentEvents {
 public:
  explicit RecentEvents(size_t capacity = 500) : capacity_(capacity) {}

  void Add(admin::Event::Type type, const pods::Pod& pod, const Refusal& refusal,
           admin::WallTime now);

  // A refusal of a process of no pod that is known: all of one `pod_uid` (or of none) are as those
  // of one pod.
  void AddUnknown(pid_t pid, const std::string& pod_uid, const Refusal& refusal,
                  admin::WallTime now);

  // Oldest first.
  std::vector<admin::Event> All() const { return {events_.begin(), events_.end()}; }

 private:
  void Add(admin::Event event, const Refusal& refusal, admin::WallTime now);

  const size_t capacity_;
  std::deque<admin::Event> events_;
};

}  // namespace npu_ipc::broker
