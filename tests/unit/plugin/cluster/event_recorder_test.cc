#include "plugin/cluster/event_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_api_server.h"

namespace npu_ipc::cluster {
namespace {

using testing::StartsWith;
using Kind = FakeFault::Kind;

constexpr Duration kPromptly = std::chrono::seconds(3);

Event Refused(const std::string& pod) {
  return {PodSubject("ns", pod, "uid-" + pod), EventType::kWarning, "ShareRefused", "no group"};
}

class EventRecorderTest : public testing::Test {
 protected:
  EventRecorderTest() {
    options_.node_name = "node-1";
    options_.limits.repeat_after = std::chrono::milliseconds(20);
    options_.wall_clock = [] { return WallTime(std::chrono::seconds(1'700'000'000)); };
    options_.pause = [this](Canceller& canceller, Duration) { canceller.WaitFor(longest_pause_); };
  }
  void Start() { recorder_ = std::make_unique<EventRecorder>(client_, options_); }
  bool Written(uint64_t count) {
    return server_.WaitUntil([&] { return recorder_->counts().written >= count; });
  }
  bool Dropped(uint64_t count) {
    return server_.WaitUntil([&] { return recorder_->counts().dropped >= count; });
  }

  FakeApiServer server_;
  ApiClient client_{server_.Config()};
  EventRecorderOptions options_;
  Duration longest_pause_ = std::chrono::milliseconds(1);
  std::unique_ptr<EventRecorder> recorder_;
};

TEST_F(EventRecorderTest, WritesAnEventOnAPod) {
  Start();
  recorder_->Record(Refused("a"));
  ASSERT_TRUE(Written(1));
  const std::vector<Json> events = server_.All(kEvents);
  ASSERT_EQ(events.size(), 1u);
  Json event = events.front();
  EXPECT_THAT(event["metadata"]["name"].get<std::string>(), StartsWith("a."));
  EXPECT_EQ(event["metadata"]["namespace"], "ns");
  event.erase("metadata");
  EXPECT_EQ(event, Json::parse(R"({
    "apiVersion": "v1",
    "kind": "Event",
    "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "ns", "name": "a", "uid": "uid-a"},
    "type": "Warning",
    "reason": "ShareRefused",
    "message": "no group",
    "count": 1,
    "firstTimestamp": "2023-11-14T22:13:20Z",
    "lastTimestamp": "2023-11-14T22:13:20Z",
    "source": {"component": "npu-ipc-broker", "host": "node-1"},
    "reportingComponent": "npu-ipc-broker",
    "reportingInstance": "node-1"})"));
}

TEST_F(EventRecorderTest, WritesAnEventOnANodeWhereKubectlLooksForIt) {
  Start();
  recorder_->Record({NodeSubject("node-1"), EventType::kNormal, "DeviceHealthy", "npu-0"});
  ASSERT_TRUE(Written(1));
  const Json event = server_.All(kEvents).front();
  EXPECT_EQ(event.at("metadata").at("namespace"), "default");
  EXPECT_EQ(event.at("involvedObject").at("uid"), "node-1");
  EXPECT_FALSE(event.at("involvedObject").contains("namespace"));
  EXPECT_EQ(event.at("type"), "Normal");
}

TEST_F(EventRecorderTest, CountsARepeatedEvent) {
  server_.Inject({.verb = "create", .kind = Kind::kHold});
  Start();
  recorder_->Record(Refused("a"));
  ASSERT_TRUE(server_.WaitForRequests("create", 1));
  for (int i = 0; i < 9; ++i) recorder_->Record(Refused("a"));
  server_.Release();
  ASSERT_TRUE(Written(2));
  const std::vector<Json> events = server_.All(kEvents);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events.front().at("count"), 10);
  EXPECT_EQ(server_.Requests().size(), 2u);
  EXPECT_EQ(recorder_->counts().recorded, 10u);
}

TEST_F(EventRecorderTest, WritesItAnewWhenTheServerHasForgottenIt) {
  Start();
  recorder_->Record(Refused("a"));
  ASSERT_TRUE(Written(1));
  const std::string name = server_.All(kEvents).front().at("metadata").at("name");
  server_.Delete({kEvents, "ns", name});
  recorder_->Record(Refused("a"));
  ASSERT_TRUE(Written(2));
  EXPECT_EQ(server_.All(kEvents).front().at("count"), 2);
}

TEST_F(EventRecorderTest, DoesNotWriteTwiceWhenAnAnswerIsLost) {
  server_.Inject({.verb = "create", .kind = Kind::kCut});
  Start();
  recorder_->Record(Refused("a"));
  ASSERT_TRUE(Written(1));
  EXPECT_EQ(server_.All(kEvents).size(), 1u);
  EXPECT_EQ(server_.Requests("create").size(), 2u);
  EXPECT_EQ(server_.Requests("patch").size(), 1u);
}

TEST_F(EventRecorderTest, WaitsForAServerThatIsAway) {
  for (const int http_status : {401, 429, 500, 503}) {
    server_.Inject({.verb = "create", .http_status = http_status, .retry_after_seconds = 1});
  }
  Start();
  recorder_->Record(Refused("a"));
  ASSERT_TRUE(Written(1));
  EXPECT_EQ(recorder_->counts().dropped, 0u);
  EXPECT_EQ(server_.Requests("create").size(), 5u);
}

TEST_F(EventRecorderTest, DropsWhatTheServerRefusesAndNothingElse) {
  for (const int http_status : {400, 403, 404, 422}) {
    server_.Inject({.verb = "create", .http_status = http_status});
  }
  Start();
  for (const char* pod : {"a", "b", "c", "d", "e"}) recorder_->Record(Refused(pod));
  ASSERT_TRUE(Written(1));
  ASSERT_TRUE(Dropped(4));
  EXPECT_EQ(server_.All(kEvents).size(), 1u);
  EXPECT_EQ(recorder_->counts().waiting, 0u);
}

TEST_F(EventRecorderTest, DropsWhatDoesNotFitAndCountsIt) {
  options_.limits.waiting = 10;
  server_.Inject({.verb = "create", .kind = Kind::kHang});
  Start();
  recorder_->Record(Refused("first"));
  ASSERT_TRUE(server_.WaitForRequests("create", 1));
  for (int i = 0; i < 100; ++i) recorder_->Record(Refused("pod-" + std::to_string(i)));
  EXPECT_EQ(recorder_->counts().dropped, 91u);
  EXPECT_EQ(recorder_->counts().waiting, 10u) << "the one that is being written is one of them";
}

TEST_F(EventRecorderTest, CutsALongMessageBetweenCharacters) {
  Start();
  Event event = Refused("a");
  event.message = std::string(1023, 'x') + "\xc3\xa4 and so on";
  event.reason = std::string(200, 'R');
  recorder_->Record(event);
  ASSERT_TRUE(Written(1));
  const Json written = server_.All(kEvents).front();
  EXPECT_EQ(written.at("message"), std::string(1023, 'x'));
  EXPECT_EQ(written.at("reason"), std::string(128, 'R'));
}

TEST_F(EventRecorderTest, TakesEventsFromManyThreads) {
  Start();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int k = 0; k < 200; ++k) recorder_->Record(Refused("a"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(server_.WaitUntil([&] {
    const std::vector<Json> events = server_.All(kEvents);
    return events.size() == 1 && events.front().at("count") == 800;
  }));
}

TEST_F(EventRecorderTest, StopsAtOnce) {
  server_.Inject({.verb = "create", .kind = Kind::kHang});
  Start();
  recorder_->Record(Refused("a"));
  ASSERT_TRUE(server_.WaitForRequests("create", 1));
  const TimePoint start = SystemClock().Now();
  recorder_.reset();
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

}  // namespace
}  // namespace npu_ipc::cluster
