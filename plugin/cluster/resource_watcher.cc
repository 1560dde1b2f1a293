#include "plugin/cluster/resource_watcher.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "plugin/cluster/listing.h"
#include "plugin/cluster/reply.h"

namespace npu_ipc::cluster {
namespace {

// A server that ends every watch at once would otherwise be asked without a pause.
constexpr Duration kShortWatch = std::chrono::seconds(1);
// After one that lasted so long, trouble is new trouble.
constexpr Duration kLongWatch = std::chrono::seconds(30);

// Often enough to be seen, never a flood.
bool WorthLogging(uint64_t count) { return (count & (count - 1)) == 0; }

}  // namespace

ResourceWatcher::ResourceWatcher(ApiClient& client, ObjectPath collection,
                                 ResourceWatcherOptions options, ResourceSink& sink)
    : client_(client),
      collection_(std::move(collection)),
      options_(std::move(options)),
      sink_(sink),
      backoff_(options_.backoff, options_.random) {
  state_.since = options_.clock->Now();
  thread_ = std::thread([this] { Run(); });
}

ResourceWatcher::~ResourceWatcher() {
  canceller_.Cancel();
  thread_.join();
}

WatchState ResourceWatcher::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void ResourceWatcher::Run() {
  while (!canceller_.cancelled()) {
    if (resource_version_.empty()) {
      List();
    } else {
      Watch();
    }
  }
}

void ResourceWatcher::List() {
  const Listing listing =
      client_.List(collection_, {options_.selection, options_.page_size, options_.left_out},
                   {options_.call_timeout, &canceller_});
  if (canceller_.cancelled()) return;
  if (!listing.reply.ok()) return BackOff(listing.reply);
  TakeList(listing);
  resource_version_ = listing.resource_version;
}

void ResourceWatcher::TakeList(const Listing& listing) {
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    number = ++state_.lists;
  }
  for (const Json& object : listing.items) {
    if (!TakeObject(object, /*deleted=*/false)) continue;
    known_.at(FindText(object, {"metadata", "uid"})).seen_in_list = number;
  }
  for (auto entry = known_.begin(); entry != known_.end();) {
    if (entry->second.seen_in_list == number) {
      ++entry;
      continue;
    }
    sink_.OnDeleted(entry->second.key);
    entry = known_.erase(entry);
  }
  spdlog::info("listed {}: selector='{}' objects={} version={}", Describe(collection_),
               options_.selection.field_selector, known_.size(), listing.resource_version);
  sink_.OnSynced();
  ChangeState([](WatchState& state) { state.synced = true; });
}

void ResourceWatcher::Watch() {
  progress_ = false;
  stream_failure_.reset();
  WatchOptions watch;
  watch.selection = options_.selection;
  watch.resource_version = resource_version_;
  watch.max_line_bytes = options_.max_line_bytes;
  const auto duration = static_cast<double>(options_.watch_duration.count());
  watch.duration = Duration(static_cast<Duration::rep>(duration * (1 + options_.random())));
  const TimePoint start = options_.clock->Now();
  Reply reply = client_.Watch(collection_, watch, *this, {options_.call_timeout, &canceller_});
  if (canceller_.cancelled()) return;
  if (stream_failure_ != nullptr) reply = *stream_failure_;

  const Duration lasted = options_.clock->Now() - start;
  if (progress_ || lasted >= kLongWatch) backoff_.Reset();
  if (reply.gone()) resource_version_.clear();
  const bool worked = progress_ || lasted >= kShortWatch;
  // Watches end, and versions expire, in the ordinary course.
  if (worked && (reply.ok() || reply.gone())) return;
  BackOff(reply);
}

void ResourceWatcher::OnEstablished() {
  {
    const std::lock_guard lock(mutex_);
    ++state_.watches;
  }
  SetProblem("");
}

bool ResourceWatcher::OnLine(std::string_view line) {
  const Json event = options_.left_out.ReadEvent(line);
  const std::string type = FindText(event, {"type"});
  const Json* object = Find(event, {"object"});
  if (type.empty() || object == nullptr || !object->is_object()) {
    Skip("a line that is no event");
  } else if (type == "ERROR") {
    const Json* code = Find(*object, {"code"});
    const int http_status = code != nullptr && code->is_number_integer() ? code->get<int>() : 0;
    stream_failure_ = std::make_unique<Reply>(
        FailureReply("watch " + Describe(collection_), http_status, *object));
    return false;
  } else if (type == "BOOKMARK") {
    const std::string version = FindText(*object, {"metadata", "resourceVersion"});
    if (version.empty()) {
      Skip("a bookmark without a resource version");
    } else {
      resource_version_ = version;
      progress_ = true;
    }
  } else if (type != "ADDED" && type != "MODIFIED" && type != "DELETED") {
    Skip("an event of an unknown type");
  } else if (TakeObject(*object, type == "DELETED")) {
    resource_version_ = FindText(*object, {"metadata", "resourceVersion"});
    progress_ = true;
    const std::lock_guard lock(mutex_);
    ++state_.events;
  }
  return !canceller_.cancelled();
}

void ResourceWatcher::OnLineTooLong(size_t max_line_bytes) {
  Skip("an event of more than " + std::to_string(max_line_bytes) + " bytes");
}

// Tells the sink what is new about `object`; false when it makes no sense.
bool ResourceWatcher::TakeObject(const Json& object, bool deleted) {
  const ObjectKey key{FindText(object, {"metadata", "uid"}),
                      FindText(object, {"metadata", "namespace"}),
                      FindText(object, {"metadata", "name"})};
  const std::string version = FindText(object, {"metadata", "resourceVersion"});
  if (key.uid.empty() || key.name.empty() || version.empty()) {
    Skip("an object without uid, name or resource version");
    return false;
  }
  const auto found = known_.find(key.uid);
  if (deleted) {
    if (found == known_.end()) return true;
    known_.erase(found);
    sink_.OnDeleted(key);
  } else if (found == known_.end()) {
    known_.emplace(key.uid, Known{key, version});
    sink_.OnAdded(key, object);
  } else if (found->second.resource_version != version) {
    found->second.resource_version = version;
    sink_.OnModified(key, object);
  }
  return true;
}

void ResourceWatcher::Skip(const std::string& what) {
  uint64_t skipped = 0;
  {
    const std::lock_guard lock(mutex_);
    skipped = ++state_.skipped;
  }
  if (WorthLogging(skipped)) {
    spdlog::warn("skipped {} from the API server: collection={} skipped={}", what,
                 Describe(collection_), skipped);
  }
}

void ResourceWatcher::BackOff(const Reply& failure) {
  if (!failure.ok()) SetProblem(failure.status.message());
  const Duration asked = failure.retry_after.value_or(Duration::zero());
  options_.pause(canceller_, std::max(backoff_.Next(), asked));
}

void ResourceWatcher::SetProblem(const std::string& problem) {
  ChangeState([&](WatchState& state) {
    if (state.problem == problem) return;
    if (!problem.empty()) {
      spdlog::warn("cannot follow {}: {}", Describe(collection_), problem);
    } else {
      spdlog::info("following {}", Describe(collection_));
    }
    if (problem.empty() != state.problem.empty()) state.since = options_.clock->Now();
    state.problem = problem;
  });
}

template <class Change>
void ResourceWatcher::ChangeState(Change change) {
  WatchState changed;
  {
    const std::lock_guard lock(mutex_);
    const bool synced = state_.synced;
    const std::string problem = state_.problem;
    change(state_);
    if (state_.synced == synced && state_.problem == problem) return;
    changed = state_;
  }
  sink_.OnStateChanged(changed);
}

}  // namespace npu_ipc::cluster
