// The last refusals and revocations, for whoever asks what went wrong.
#pragma once

#include <stddef.h>

#include <deque>
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

  // Oldest first.
  std::vector<admin::Event> All() const { return {events_.begin(), events_.end()}; }

 private:
  const size_t capacity_;
  std::deque<admin::Event> events_;
};

}  // namespace npu_ipc::broker
