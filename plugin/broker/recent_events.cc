#include "plugin/broker/recent_events.h"

#include <algorithm>
#include <string>
#include <utility>

namespace npu_ipc::broker {
namespace {

// Whoever is refused all the time is refused for the last time not long ago.
constexpr ptrdiff_t kLookBack = 32;

}  // namespace

void RecentEvents::Add(admin::Event::Type type, const pods::Pod& pod, const Refusal& refusal,
                       admin::WallTime now) {
  admin::Event event;
  event.type = type;
  event.pod_namespace = pod.pod_namespace;
  event.pod_name = pod.name;
  Add(std::move(event), refusal, now);
}

void RecentEvents::AddUnknown(pid_t pid, const std::string& pod_uid, const Refusal& refusal,
                              admin::WallTime now) {
  admin::Event event;
  event.pid = pid;
  event.pod_uid = pod_uid;
  Add(std::move(event), refusal, now);
}

void RecentEvents::Add(admin::Event event, const Refusal& refusal, admin::WallTime now) {
  event.reason = std::string(StatusName(refusal.status));
  event.message = refusal.reason;
  event.first_seen = event.last_seen = now;

  const auto end = std::min(events_.rend(),
                            events_.rbegin() + std::min<ptrdiff_t>(kLookBack, std::ssize(events_)));
  const auto same = std::find_if(events_.rbegin(), end, [&](const admin::Event& known) {
    return known.type == event.type && known.pod_namespace == event.pod_namespace &&
           known.pod_name == event.pod_name && known.pod_uid == event.pod_uid &&
           known.reason == event.reason;
  });
  if (same != end) {
    event.first_seen = same->first_seen;
    event.count = same->count + 1;
    events_.erase(std::next(same).base());
  }
  events_.push_back(std::move(event));
  if (events_.size() > capacity_) events_.pop_front();
}

}  // namespace npu_ipc::broker
