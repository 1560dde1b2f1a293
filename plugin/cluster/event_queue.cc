#include "plugin/cluster/event_queue.h"

#include <algorithm>
#include <charconv>

namespace npu_ipc::cluster {
namespace {

// An object's name has at most 253 characters; the rest is for what makes it unique.
constexpr size_t kMaxSubjectName = 200;

void AppendHex(uint64_t number, std::string* text) {
  char digits[16];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), number, 16);
  text->append(digits, end);
}

}  // namespace

double TokenBucket::TokensAt(TimePoint now) const {
  const double passed = static_cast<double>((now - counted_at_).count());
  return std::min(burst_, tokens_ + passed / static_cast<double>(refill_.count()));
}

bool TokenBucket::Take(TimePoint now) {
  tokens_ = TokensAt(now);
  counted_at_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

TimePoint TokenBucket::NextAt() const {
  if (tokens_ >= 1) return counted_at_;
  // A little later than exact: never a moment too early.
  return counted_at_ + Duration(static_cast<Duration::rep>(
                           (1 - tokens_) * static_cast<double>(refill_.count()) + 1000));
}

bool TokenBucket::Full(TimePoint now) const { return TokensAt(now) >= burst_; }

EventQueue::EventQueue(const EventLimits& limits, TimePoint now)
    : limits_(limits), writes_(limits.write_burst, limits.write_refill, now) {}

bool EventQueue::Add(const Event& event, TimePoint now, WallTime wall) {
  auto entry = series_.find(event);
  if (entry == series_.end()) {
    if (Full() || !MakeRoom() || !AdmitNewSeries(event, now)) return false;
    entry = series_.emplace(event, Series{}).first;
    entry->second.recency = by_recency_.insert(by_recency_.end(), &entry->first);
    StartSeries(event, entry->second, wall);
  }
  Series& series = entry->second;
  if (!series.waiting) {
    if (Full() && !IsTaken(entry)) return false;
    if (series.written_at && now - *series.written_at >= limits_.forget_after) {
      StartSeries(event, series, wall);
    }
    Wait(entry, series.written_at ? *series.written_at + limits_.repeat_after : now);
  }
  ++series.count;
  series.last = wall;
  by_recency_.splice(by_recency_.end(), by_recency_, series.recency);
  return true;
}

void EventQueue::StartSeries(const Event& event, Series& series, WallTime wall) {
  series.count = 0;
  series.first = wall;
  series.create = true;
  series.written_at.reset();
  series.object_name = event.subject.name.substr(0, kMaxSubjectName) + ".";
  AppendHex(static_cast<uint64_t>(wall.time_since_epoch().count()), &series.object_name);
  AppendHex(started_++, &series.object_name);
}

bool EventQueue::AdmitNewSeries(const Event& event, TimePoint now) {
  if (subjects_.size() >= limits_.series) {
    std::erase_if(subjects_, [now](const auto& subject) { return subject.second.Full(now); });
  }
  if (subjects_.size() >= limits_.series) return false;
  const auto subject =
      subjects_.try_emplace(event.subject, limits_.subject_burst, limits_.subject_refill, now)
          .first;
  return subject->second.Take(now);
}

// Forgets the series that has been quiet the longest, if there are as many as there may be.
bool EventQueue::MakeRoom() {
  if (series_.size() < limits_.series) return true;
  for (const Event* event : by_recency_) {
    const auto entry = series_.find(*event);
    if (entry->second.waiting || IsTaken(entry)) continue;
    Erase(entry);
    return true;
  }
  return false;
}

void EventQueue::Wait(SeriesMap::iterator entry, TimePoint until) {
  entry->second.waiting = waiting_.emplace(until, &entry->first);
}

void EventQueue::Erase(SeriesMap::iterator entry) {
  if (IsTaken(entry)) taken_.reset();
  if (entry->second.waiting) waiting_.erase(*entry->second.waiting);
  by_recency_.erase(entry->second.recency);
  series_.erase(entry);
}

size_t EventQueue::waiting() const {
  const bool taken_waits_too = taken_ && (*taken_)->second.waiting;
  return waiting_.size() + (taken_ && !taken_waits_too ? 1 : 0);
}

std::optional<TimePoint> EventQueue::NextAt() const {
  if (waiting_.empty()) return std::nullopt;
  return std::max(waiting_.begin()->first, writes_.NextAt());
}

std::optional<EventQueue::Write> EventQueue::Take(TimePoint now) {
  if (waiting_.empty() || waiting_.begin()->first > now || !writes_.Take(now)) return std::nullopt;
  const auto entry = series_.find(*waiting_.begin()->second);
  Series& series = entry->second;
  waiting_.erase(waiting_.begin());
  series.waiting.reset();
  taken_ = entry;
  return Write{entry->first, series.count,       series.first,
               series.last,  series.object_name, series.create};
}

void EventQueue::Written(const Event& event, TimePoint now) {
  taken_.reset();
  const auto entry = series_.find(event);
  if (entry == series_.end()) return;
  entry->second.create = false;
  entry->second.written_at = now;
  if (!entry->second.waiting) return;
  // It went on meanwhile.
  waiting_.erase(*entry->second.waiting);
  Wait(entry, now + limits_.repeat_after);
}

void EventQueue::Retry(const Event& event, bool create, TimePoint again_at) {
  taken_.reset();
  const auto entry = series_.find(event);
  if (entry == series_.end()) return;
  entry->second.create = create;
  if (entry->second.waiting) waiting_.erase(*entry->second.waiting);
  Wait(entry, again_at);
}

void EventQueue::Forget(const Event& event) {
  const auto entry = series_.find(event);
  if (entry != series_.end()) Erase(entry);
}

}  // namespace npu_ipc::cluster
