#include "plugin/cluster/event_recorder.h"

#include <spdlog/spdlog.h>
#include <time.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "plugin/cluster/reply.h"

namespace npu_ipc::cluster {
namespace {

// The API server refuses more (pkg/apis/core/validation/events.go).
constexpr size_t kMaxReasonBytes = 128;
constexpr size_t kMaxMessageBytes = 1024;

// At most `limit` bytes, of whole UTF-8 characters.
void Truncate(std::string& text, size_t limit) {
  if (text.size() <= limit) return;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  text.resize(limit);
}

// RFC 3339, whole seconds, as metav1.Time.
std::string Timestamp(WallTime when) {
  const time_t seconds = std::chrono::system_clock::to_time_t(when);
  tm broken_down = {};
  ::gmtime_r(&seconds, &broken_down);
  char text[sizeof("2006-01-02T15:04:05Z")];
  const size_t size = ::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  return {text, size};
}

std::string NamespaceOf(const Event& event) {
  return event.subject.object_namespace.empty() ? "default" : event.subject.object_namespace;
}

// No answer, half of one, or one that may be different another time.
bool WorthRetrying(const Reply& reply) {
  if (reply.ok()) return false;
  return reply.http_status / 100 == 2 || reply.http_status == 0 || reply.http_status == 401 ||
         reply.http_status == 408 || reply.http_status == 429 || reply.http_status >= 500;
}

bool WorthLogging(uint64_t count) { return (count & (count - 1)) == 0; }

}  // namespace

Json EventObject(const EventQueue::Write& write, const EventRecorderOptions& options) {
  const EventSubject& subject = write.event.subject;
  Json involved = {{"apiVersion", subject.api_version},
                   {"kind", subject.kind},
                   {"name", subject.name},
                   {"uid", subject.uid}};
  if (!subject.object_namespace.empty()) involved["namespace"] = subject.object_namespace;
  return {{"apiVersion", "v1"},
          {"kind", "Event"},
          {"metadata", {{"name", write.object_name}, {"namespace", NamespaceOf(write.event)}}},
          {"involvedObject", involved},
          {"type", write.event.type == EventType::kWarning ? "Warning" : "Normal"},
          {"reason", write.event.reason},
          {"message", write.event.message},
          {"count", write.count},
          {"firstTimestamp", Timestamp(write.first)},
          {"lastTimestamp", Timestamp(write.last)},
          {"source", {{"component", options.component}, {"host", options.node_name}}},
          {"reportingComponent", options.component},
          {"reportingInstance", options.node_name}};
}

EventRecorder::EventRecorder(ApiClient& client, EventRecorderOptions options)
    : client_(client),
      options_(std::move(options)),
      queue_(options_.limits, SystemClock().Now()),
      backoff_(options_.backoff, options_.random),
      worker_([this](Canceller& canceller) { return Step(canceller); }) {}

void EventRecorder::Record(Event event) {
  Truncate(event.reason, kMaxReasonBytes);
  Truncate(event.message, kMaxMessageBytes);
  const WallTime wall = options_.wall_clock();
  const std::lock_guard lock(mutex_);
  ++counts_.recorded;
  if (queue_.Add(event, SystemClock().Now(), wall)) {
    worker_.Wake();
  } else {
    CountDropped(event, "too many");
  }
}

EventCounts EventRecorder::counts() const {
  const std::lock_guard lock(mutex_);
  EventCounts counts = counts_;
  counts.waiting = queue_.waiting();
  return counts;
}

void EventRecorder::CountDropped(const Event& event, const std::string& why) {
  if (WorthLogging(++counts_.dropped)) {
    spdlog::warn("dropped an Event: subject={}/{} reason={} why='{}' dropped={}",
                 event.subject.kind, event.subject.name, event.reason, why, counts_.dropped);
  }
}

std::optional<TimePoint> EventRecorder::Step(Canceller& canceller) {
  std::optional<EventQueue::Write> write;
  {
    const std::lock_guard lock(mutex_);
    write = queue_.Take(SystemClock().Now());
    if (!write) return queue_.NextAt();
  }
  const Reply reply = Send(*write, canceller);
  if (canceller.cancelled()) return std::nullopt;
  const Duration rest = Settle(*write, reply);
  if (rest > Duration::zero()) options_.pause(canceller, rest);
  return SystemClock().Now();
}

Reply EventRecorder::Send(const EventQueue::Write& write, Canceller& canceller) {
  const CallOptions call{options_.call_timeout, &canceller};
  const std::string event_namespace = NamespaceOf(write.event);
  if (write.create) {
    return client_.Create({kEvents, event_namespace, ""}, EventObject(write, options_), call);
  }
  return client_.Patch({kEvents, event_namespace, write.object_name}, {.type = PatchType::kMerge},
                       Json{{"count", write.count}, {"lastTimestamp", Timestamp(write.last)}},
                       call);
}

// What comes of a write; how long to leave the API server alone.
Duration EventRecorder::Settle(const EventQueue::Write& write, const Reply& reply) {
  const TimePoint now = SystemClock().Now();
  const std::lock_guard lock(mutex_);
  if (WorthRetrying(reply)) {
    queue_.Retry(write.event, write.create, now);
    const Duration rest = std::max(backoff_.Next(), reply.retry_after.value_or(Duration::zero()));
    spdlog::debug("cannot write an Event yet: {}", reply.status.message());
    return rest;
  }
  backoff_.Reset();
  if (reply.ok()) {
    ++counts_.written;
    queue_.Written(write.event, now);
  } else if (write.create && reply.status.code() == StatusCode::kAlreadyExists) {
    // Created after all, by an attempt whose answer was lost.
    queue_.Retry(write.event, /*create=*/false, now);
  } else if (!write.create && reply.status.code() == StatusCode::kNotFound) {
    queue_.Retry(write.event, /*create=*/true, now);  // it has expired
  } else {
    queue_.Forget(write.event);
    CountDropped(write.event, reply.status.message());
  }
  return Duration::zero();
}

}  // namespace npu_ipc::cluster
