// Which Events are to be written, when, and with what count.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <chrono>
#include <list>
#include <map>
#include <optional>
#include <string>

#include "hal/base/clock.h"
#include "plugin/cluster/event.h"

namespace npu_ipc::cluster {

using WallTime = std::chrono::system_clock::time_point;

struct EventLimits {
  size_t series = 4096;  // that are remembered
  // Series with a count that the API server does not have: those that wait, and the one that is
  // being written.
  size_t waiting = 1000;
  // A series that goes on is written again only after so long.
  Duration repeat_after = std::chrono::seconds(30);
  // New series about one subject: so many at once, and then one every `subject_refill`.
  double subject_burst = 25;
  Duration subject_refill = std::chrono::minutes(1);
  // Writes in all: the same.
  double write_burst = 25;
  Duration write_refill = std::chrono::milliseconds(200);
  // By then the API server has forgotten an Event (its --event-ttl is an hour).
  Duration forget_after = std::chrono::minutes(50);
};

// So many at once, and then one every `refill`.
class TokenBucket {
 public:
  TokenBucket(double burst, Duration refill, TimePoint now)
      : burst_(burst), refill_(refill), tokens_(burst), counted_at_(now) {}

  bool Take(TimePoint now);
  TimePoint NextAt() const;  // when Take() will do; in the past when it would now
  bool Full(TimePoint now) const;

 private:
  double TokensAt(TimePoint now) const;

  double burst_;
  Duration refill_;
  double tokens_;
  TimePoint counted_at_;
};

// The same event again and again is a series: one Event with a count. Bounded in every way; what
// does not fit is refused. Not thread safe; `now` never goes back.
class EventQueue {
 public:
  // What is to be written of a series.
  struct Write {
    Event event;
    uint64_t count = 0;
    WallTime first;
    WallTime last;
    std::string object_name;
    bool create = true;  // or else it is there, with a smaller count
  };

  EventQueue(const EventLimits& limits, TimePoint now);

  // False when a limit is reached; the event is dropped then.
  bool Add(const Event& event, TimePoint now, WallTime wall);

  // When there will be something to take; nullopt when nothing waits.
  std::optional<TimePoint> NextAt() const;
  // What is to be written now, if anything; to be followed by one of the three calls below before
  // anything else is taken.
  std::optional<Write> Take(TimePoint now);
  void Written(const Event& event, TimePoint now);
  // It is to be written again, as a new object or as one that is there, at `again_at`.
  void Retry(const Event& event, bool create, TimePoint again_at);
  // It will never be written.
  void Forget(const Event& event);

  // As EventLimits::waiting counts them.
  size_t waiting() const;

 private:
  using Waiting = std::multimap<TimePoint, const Event*>;
  struct Series {
    uint64_t count = 0;
    WallTime first;
    WallTime last;
    std::string object_name;
    bool create = true;
    std::optional<TimePoint> written_at;
    std::optional<Waiting::iterator> waiting;
    std::list<const Event*>::iterator recency;
  };
  using SeriesMap = std::map<Event, Series>;

  bool Full() const { return waiting() >= limits_.waiting; }
  bool IsTaken(SeriesMap::iterator entry) const { return taken_ == entry; }
  bool AdmitNewSeries(const Event& event, TimePoint now);
  bool MakeRoom();
  void StartSeries(const Event& event, Series& series, WallTime wall);
  void Wait(SeriesMap::iterator entry, TimePoint until);
  void Erase(SeriesMap::iterator entry);

  const EventLimits limits_;
  uint64_t started_ = 0;  // series
  SeriesMap series_;
  std::list<const Event*> by_recency_;        // the keys of series_, the longest quiet first
  Waiting waiting_;                           // by when they are due
  std::optional<SeriesMap::iterator> taken_;  // what is being written
  std::map<EventSubject, TokenBucket> subjects_;
  TokenBucket writes_;
};

}  // namespace npu_ipc::cluster
