// Writes Events on pods and nodes to the API server.
#pragma once

#include <stdint.h>

#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "plugin/cluster/api_client.h"
#include "plugin/cluster/backoff.h"
#include "plugin/cluster/canceller.h"
#include "plugin/cluster/event.h"
#include "plugin/cluster/event_queue.h"
#include "plugin/cluster/json.h"
#include "plugin/cluster/worker.h"

namespace npu_ipc::cluster {

struct EventRecorderOptions {
  std::string component = "npu-ipc-broker";  // who reports
  std::string node_name;                     // from where
  EventLimits limits;
  Duration call_timeout = std::chrono::seconds(30);
  BackoffOptions backoff;
  RandomFunction random = Random;
  PauseFunction pause = Pause;
  std::function<WallTime()> wall_clock = std::chrono::system_clock::now;
};

struct EventCounts {
  uint64_t recorded = 0;  // calls of Record()
  uint64_t written = 0;   // calls that the API server accepted
  uint64_t dropped = 0;   // recorded, and never to be written: by a limit of ours, or refused
  uint64_t waiting = 0;   // series that are to be written, now: EventQueue::waiting()
};

// The object that the API server gets when `write` is created (core/v1: what every version of
// kubectl shows, count included). An Event about a node is in the namespace "default".
Json EventObject(const EventQueue::Write& write, const EventRecorderOptions& options);

// Safe for concurrent use. Equal events are one Event with a count, which is written at once and
// then twice a minute at most; `limits` bounds everything else. Written on a thread of its own: the
// API server away delays Events, refusing them (403, 404 of a namespace that goes, ...) drops them.
// The destructor stops at once; what waits is lost. It needs the verbs create and patch on events.
class EventRecorder {
 public:
  // `client` must outlive it.
  EventRecorder(ApiClient& client, EventRecorderOptions options);
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  // Returns at once. The message is for whoever may read the pod's Events: no keys.
  void Record(Event event);

  EventCounts counts() const;

 private:
  std::optional<TimePoint> Step(Canceller& canceller);
  Reply Send(const EventQueue::Write& write, Canceller& canceller);
  Duration Settle(const EventQueue::Write& write, const Reply& reply);
  void CountDropped(const Event& event, const std::string& why);

  ApiClient& client_;
  const EventRecorderOptions options_;

  mutable std::mutex mutex_;
  EventQueue queue_;    // guarded by mutex_
  EventCounts counts_;  // guarded by mutex_

  Backoff backoff_;  // worker_'s own
  Worker worker_;
};

}  // namespace npu_ipc::cluster
