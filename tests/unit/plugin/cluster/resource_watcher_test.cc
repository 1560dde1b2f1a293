#include "plugin/cluster/resource_watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_api_server.h"

namespace npu_ipc::cluster {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = FakeFault::Kind;

const ObjectPath kAllPods{kPods, "", ""};
constexpr Duration kPromptly = std::chrono::seconds(3);

ObjectPath PodPath(const std::string& name) { return {kPods, "ns", name}; }
Json PodOn(const std::string& node) { return {{"spec", {{"nodeName", node}}}}; }

class RecordingSink final : public ResourceSink {
 public:
  void OnAdded(const ObjectKey& key, const Json&) override { Add("+" + key.name); }
  void OnModified(const ObjectKey& key, const Json&) override { Add("~" + key.name); }
  void OnDeleted(const ObjectKey& key) override { Add("-" + key.name); }
  void OnSynced() override { Add("synced"); }
  void OnStateChanged(const WatchState& state) override {
    const std::lock_guard lock(mutex_);
    problems_.push_back(state.problem);
  }

  // What was told since it was last taken.
  std::vector<std::string> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(told_, {});
  }
  bool Told(const std::string& what) const {
    const std::lock_guard lock(mutex_);
    return std::count(told_.begin(), told_.end(), what) > 0;
  }
  std::vector<std::string> problems() const {
    const std::lock_guard lock(mutex_);
    return problems_;
  }

 private:
  void Add(std::string what) {
    const std::lock_guard lock(mutex_);
    told_.push_back(std::move(what));
  }

  mutable std::mutex mutex_;
  std::vector<std::string> told_;      // guarded by mutex_
  std::vector<std::string> problems_;  // guarded by mutex_
};

class ResourceWatcherTest : public testing::Test {
 protected:
  void Start() {
    ResourceWatcherOptions options;
    options.selection.field_selector = "spec.nodeName=node-1";
    options.max_line_bytes = 10'000;
    options.call_timeout = call_timeout_;
    options.watch_duration = watch_duration_;
    options.random = [] { return 0.0; };
    options.pause = [this](Canceller& canceller, Duration duration) {
      {
        const std::lock_guard lock(mutex_);
        pauses_.push_back(duration);
      }
      canceller.WaitFor(std::min<Duration>(duration, longest_pause_));
    };
    watcher_ = std::make_unique<ResourceWatcher>(client_, kAllPods, options, sink_);
  }
  // Until the watch is open and everything before it has been told.
  void StartAndFollow() {
    Start();
    ASSERT_TRUE(Follows());
    sink_.Take();
  }
  bool Follows() {
    return server_.WaitUntil([&] { return watcher_->state().problem.empty(); });
  }
  bool Tells(const std::string& what) {
    return server_.WaitUntil([&] { return sink_.Told(what); });
  }
  std::vector<Duration> pauses() {
    const std::lock_guard lock(mutex_);
    return pauses_;
  }

  FakeApiServer server_;
  ApiClient client_{server_.Config()};
  RecordingSink sink_;
  std::mutex mutex_;
  std::vector<Duration> pauses_;  // guarded by mutex_
  Duration longest_pause_ = std::chrono::milliseconds(1);
  Duration call_timeout_ = std::chrono::seconds(30);
  Duration watch_duration_ = std::chrono::minutes(5);
  std::unique_ptr<ResourceWatcher> watcher_;  // last: it ends first
};

TEST_F(ResourceWatcherTest, ListsThenWatches) {
  server_.Put(PodPath("a"), PodOn("node-1"));
  server_.Put(PodPath("elsewhere"), PodOn("node-2"));
  Start();
  ASSERT_TRUE(Follows());
  EXPECT_THAT(sink_.Take(), ElementsAre("+a", "synced"));
  EXPECT_TRUE(watcher_->state().synced);

  server_.Put(PodPath("b"), PodOn("node-1"));
  server_.Put(PodPath("elsewhere"), PodOn("node-2"));
  server_.Put(PodPath("a"), PodOn("node-1"));
  server_.Delete(PodPath("b"));
  ASSERT_TRUE(Tells("-b"));
  EXPECT_THAT(sink_.Take(), ElementsAre("+b", "~a", "-b"));
  EXPECT_EQ(watcher_->state().events, 3u);
  EXPECT_EQ(server_.Requests("list").size(), 1u);
  EXPECT_EQ(server_.Requests("watch").size(), 1u);
  EXPECT_EQ(server_.Requests("watch").at(0).parameters.at("fieldSelector"), "spec.nodeName=node-1");
  EXPECT_THAT(pauses(), IsEmpty());
}

TEST_F(ResourceWatcherTest, TellsThatAnObjectLeftTheSelection) {
  server_.Put(PodPath("a"), PodOn("node-1"));
  StartAndFollow();
  server_.Put(PodPath("a"), PodOn("node-2"));
  ASSERT_TRUE(Tells("-a"));
}

TEST_F(ResourceWatcherTest, TellsANewObjectOfAnOldNameApart) {
  server_.Put(PodPath("a"), PodOn("node-1"));
  StartAndFollow();
  server_.Delete(PodPath("a"));
  server_.Put(PodPath("a"), PodOn("node-1"));
  ASSERT_TRUE(Tells("+a"));
  EXPECT_THAT(sink_.Take(), ElementsAre("-a", "+a"));
}

TEST_F(ResourceWatcherTest, ResumesWhereAWatchEnded) {
  StartAndFollow();
  server_.Put(PodPath("a"), PodOn("node-1"));
  ASSERT_TRUE(Tells("+a"));
  server_.EndWatches();
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  server_.Put(PodPath("b"), PodOn("node-1"));
  ASSERT_TRUE(Tells("+b"));
  EXPECT_THAT(sink_.Take(), ElementsAre("+a", "+b"));
  EXPECT_EQ(server_.Requests("watch").at(1).parameters.at("resourceVersion"), "101");
  EXPECT_EQ(server_.Requests("list").size(), 1u);
  EXPECT_THAT(pauses(), IsEmpty());
}

TEST_F(ResourceWatcherTest, ResumesFromABookmark) {
  StartAndFollow();
  server_.Put(PodPath("elsewhere"), PodOn("node-2"));
  server_.SendBookmarks();
  server_.EndWatches();
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  EXPECT_EQ(server_.Requests("watch").at(1).parameters.at("resourceVersion"), "101");
  EXPECT_THAT(sink_.Take(), IsEmpty());
}

TEST_F(ResourceWatcherTest, AsksForWatchesThatEnd) {
  watch_duration_ = std::chrono::seconds(1);
  Start();
  ASSERT_TRUE(server_.WaitForRequests("watch", 3));
  EXPECT_EQ(server_.Requests("watch").at(0).parameters.at("timeoutSeconds"), "1");
  EXPECT_EQ(server_.Requests("list").size(), 1u);
  EXPECT_THAT(pauses(), IsEmpty());
}

TEST_F(ResourceWatcherTest, MissesNothingWhileItsConnectionIsCut) {
  server_.Put(PodPath("a"), PodOn("node-1"));
  StartAndFollow();
  server_.Inject({.verb = "watch", .kind = Kind::kHold});
  server_.CutWatches();
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  EXPECT_THAT(watcher_->state().problem, HasSubstr("cut"));
  EXPECT_TRUE(watcher_->state().synced);
  server_.Delete(PodPath("a"));
  server_.Put(PodPath("b"), PodOn("node-1"));
  server_.Release();
  ASSERT_TRUE(Tells("+b"));
  EXPECT_THAT(sink_.Take(), ElementsAre("-a", "+b"));
  EXPECT_TRUE(Follows());
  EXPECT_EQ(server_.Requests("list").size(), 1u);
  EXPECT_EQ(pauses().size(), 1u);
}

TEST_F(ResourceWatcherTest, ListsAgainWhenItsVersionHasExpired) {
  server_.Put(PodPath("stays"), PodOn("node-1"));
  server_.Put(PodPath("changes"), PodOn("node-1"));
  server_.Put(PodPath("goes"), PodOn("node-1"));
  StartAndFollow();
  server_.Inject({.verb = "watch", .kind = Kind::kHold});
  server_.CutWatches();
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  server_.Put(PodPath("changes"), PodOn("node-1"));
  server_.Delete(PodPath("goes"));
  server_.Put(PodPath("comes"), PodOn("node-1"));
  server_.Compact();
  server_.Release();
  ASSERT_TRUE(Tells("synced"));
  EXPECT_THAT(sink_.Take(), testing::UnorderedElementsAre("~changes", "+comes", "-goes", "synced"));
  EXPECT_TRUE(Follows());
  EXPECT_EQ(server_.Requests("list").size(), 2u);
}

TEST_F(ResourceWatcherTest, ListsAgainWhenAWatchIsRefusedAsGone) {
  StartAndFollow();
  server_.Inject({.verb = "watch", .http_status = 410, .reason = "Gone"});
  server_.EndWatches();
  ASSERT_TRUE(Tells("synced"));
  EXPECT_TRUE(Follows());
}

TEST_F(ResourceWatcherTest, DoesNotSpinWhenEveryWatchIsGoneAtOnce) {
  server_.Inject({.verb = "watch", .http_status = 410, .reason = "Gone", .times = 4});
  Start();
  ASSERT_TRUE(Follows());
  using std::chrono::milliseconds;
  EXPECT_THAT(pauses(), ElementsAre(milliseconds(500), milliseconds(1000), milliseconds(2000),
                                    milliseconds(4000)));
}

TEST_F(ResourceWatcherTest, DoesNotSpinWhenEveryWatchEndsAtOnce) {
  StartAndFollow();
  for (size_t i = 2; i < 5; ++i) {
    server_.EndWatches();
    ASSERT_TRUE(server_.WaitForRequests("watch", i));
    ASSERT_TRUE(server_.WaitUntil([&] { return watcher_->state().watches == i; }));
  }
  EXPECT_THAT(pauses(), ElementsAre(std::chrono::milliseconds(500), std::chrono::seconds(1),
                                    std::chrono::seconds(2)));
}

TEST_F(ResourceWatcherTest, BacksOffLongerAndLongerAndStartsAnewAfterProgress) {
  server_.Inject({.verb = "list", .http_status = 500, .times = 7});
  Start();
  ASSERT_TRUE(Follows());
  EXPECT_EQ(pauses().front(), std::chrono::milliseconds(500));
  EXPECT_EQ(pauses().back(), std::chrono::seconds(15));
  server_.Put(PodPath("a"), PodOn("node-1"));
  ASSERT_TRUE(Tells("+a"));
  server_.CutWatches();
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  EXPECT_EQ(pauses().back(), std::chrono::milliseconds(500));
}

TEST_F(ResourceWatcherTest, LeavesAServerAloneForAsLongAsItAsks) {
  server_.Inject(
      {.verb = "list", .http_status = 429, .reason = "TooManyRequests", .retry_after_seconds = 20});
  Start();
  ASSERT_TRUE(Follows());
  EXPECT_THAT(pauses(), ElementsAre(std::chrono::seconds(20)));
}

TEST_F(ResourceWatcherTest, SaysWhatIsWrongAndSinceWhen) {
  server_.Inject({.verb = "list", .http_status = 403, .reason = "Forbidden", .times = 3});
  longest_pause_ = std::chrono::hours(1);
  const TimePoint start = SystemClock().Now();
  Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return pauses().size() == 1; }));
  const WatchState state = watcher_->state();
  EXPECT_FALSE(state.synced);
  EXPECT_THAT(state.problem, AllOf(HasSubstr("list pods"), HasSubstr("403")));
  EXPECT_GE(state.since, start);
  EXPECT_THAT(sink_.problems(), ElementsAre(HasSubstr("403")));
}

TEST_F(ResourceWatcherTest, KeepsGoingThroughEveryKindOfFault) {
  for (const char* verb : {"list", "watch"}) {
    for (const int http_status : {401, 403, 404, 429, 500, 503, 504}) {
      server_.Inject({.verb = verb, .http_status = http_status});
    }
    for (const Kind kind : {Kind::kHtml, Kind::kNoJson, Kind::kCut}) {
      server_.Inject({.verb = verb, .kind = kind, .http_status = 502});
    }
  }
  server_.Put(PodPath("a"), PodOn("node-1"));
  Start();
  ASSERT_TRUE(Tells("synced"));
  ASSERT_TRUE(server_.WaitForRequests("watch", 11));
  ASSERT_TRUE(Follows());
  server_.Put(PodPath("b"), PodOn("node-1"));
  ASSERT_TRUE(Tells("+b"));
  EXPECT_THAT(sink_.Take(), ElementsAre("+a", "synced", "+b"));
}

TEST_F(ResourceWatcherTest, DoesNotWaitForAServerThatHangs) {
  call_timeout_ = std::chrono::milliseconds(200);
  server_.Inject({.verb = "list", .kind = Kind::kHang});
  server_.Inject({.verb = "watch", .kind = Kind::kHang});
  Start();
  ASSERT_TRUE(Follows());
  EXPECT_EQ(server_.Requests("list").size(), 2u);
  EXPECT_EQ(server_.Requests("watch").size(), 2u);
}

TEST_F(ResourceWatcherTest, ReadsOnWhereAnErrorComesInTheStream) {
  StartAndFollow();
  server_.SendToWatches(
      R"({"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd is away"}})"
      "\n");
  ASSERT_TRUE(server_.WaitForRequests("watch", 2));
  EXPECT_THAT(sink_.problems(), testing::Contains(HasSubstr("etcd is away")));
  ASSERT_TRUE(Follows());
  EXPECT_EQ(server_.Requests("list").size(), 1u);
}

TEST_F(ResourceWatcherTest, SkipsWhatMakesNoSenseAndLosesNothingElse) {
  StartAndFollow();
  const std::vector<std::string> nonsense = {
      "not json",
      "[]",
      "{}",
      R"({"type":"ADDED"})",
      R"({"type":"ADDED","object":"text"})",
      R"({"type":"ADDED","object":{}})",
      R"({"type":"ADDED","object":{"metadata":{"uid":"u","name":"n"}}})",
      R"({"type":"ADDED","object":{"metadata":{"uid":7,"name":"n","resourceVersion":"1"}}})",
      R"({"type":"RENAMED","object":{"metadata":{}}})",
      R"({"type":"BOOKMARK","object":{}})",
      R"({"type":"DELETED","object":{"metadata":[]}})",
      "{\"type\":\"ADDED\",\"object\":\"\xff\xfe\"}",
      std::string(20'000, 'x')};
  for (const std::string& line : nonsense) server_.SendToWatches(line + "\n");
  server_.Put(PodPath("a"), PodOn("node-1"));
  ASSERT_TRUE(Tells("+a"));
  ASSERT_TRUE(server_.WaitUntil([&] { return watcher_->state().skipped >= nonsense.size(); }));
  server_.Put(PodPath("b"), PodOn("node-1"));
  ASSERT_TRUE(Tells("+b"));
  EXPECT_THAT(sink_.Take(), ElementsAre("+a", "+b"));
  EXPECT_EQ(watcher_->state().skipped, nonsense.size());
  EXPECT_EQ(server_.Requests("watch").size(), 1u);
}

TEST_F(ResourceWatcherTest, SkipsAnObjectOfAListThatMakesNoSense) {
  server_.Put(PodPath("a"), PodOn("node-1"));
  server_.Put(PodPath("odd"), {{"metadata", {{"uid", 7}}}, {"spec", {{"nodeName", "node-1"}}}});
  Start();
  ASSERT_TRUE(Follows());
  EXPECT_THAT(sink_.Take(), ElementsAre("+a", "synced"));
  EXPECT_EQ(watcher_->state().skipped, 1u);
}

TEST_F(ResourceWatcherTest, StopsAtOnceWhileItReads) {
  StartAndFollow();
  const TimePoint start = SystemClock().Now();
  watcher_.reset();
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

TEST_F(ResourceWatcherTest, StopsAtOnceWhileItsListHangs) {
  server_.Inject({.verb = "list", .kind = Kind::kHang});
  Start();
  ASSERT_TRUE(server_.WaitForRequests("list", 1));
  const TimePoint start = SystemClock().Now();
  watcher_.reset();
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
  EXPECT_THAT(sink_.Take(), IsEmpty());
}

TEST_F(ResourceWatcherTest, StopsAtOnceWhileItBacksOff) {
  longest_pause_ = std::chrono::hours(1);
  server_.Inject({.verb = "list", .http_status = 500});
  Start();
  ASSERT_TRUE(server_.WaitUntil([&] { return pauses().size() == 1; }));
  const TimePoint start = SystemClock().Now();
  watcher_.reset();
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

TEST(ResourceWatcherStart, ComesUpBeforeItsServerDoes) {
  ClusterConfig config;
  {
    FakeApiServer server;
    config = server.Config();
  }
  ApiClient client(config);
  RecordingSink sink;
  ResourceWatcherOptions options;
  options.pause = [](Canceller& canceller, Duration) {
    canceller.WaitFor(std::chrono::milliseconds(1));
  };
  ResourceWatcher watcher(client, kAllPods, options, sink);
  FakeApiServer other;  // only to wait with
  EXPECT_TRUE(other.WaitUntil(
      [&] { return watcher.state().problem.find("cannot connect") != std::string::npos; }));
  EXPECT_FALSE(watcher.state().synced);
}

}  // namespace
}  // namespace npu_ipc::cluster
