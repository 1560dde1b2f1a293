#include "plugin/broker/recent_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npu_ipc::broker {
namespace {

using admin::Event;
using std::chrono::seconds;

class RecentEventsTest : public testing::Test {
 protected:
  void Refuse(const std::string& pod, wire::Status status, const std::string& why = "no") {
    now_ += seconds(1);
    events_.Add(Event::Type::kRefused, {"uid", "team", pod}, {status, why}, now_);
  }

  admin::WallTime now_{};
  RecentEvents events_{3};
};

TEST_F(RecentEventsTest, KeepsTheLastOnesInOrder) {
  for (const char* const pod : {"a", "b", "c", "d"}) Refuse(pod, wire::Status::kNotInGroup);
  const std::vector<Event> events = events_.All();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events.front().pod_name, "b");
  EXPECT_EQ(events.back().pod_name, "d");
  EXPECT_EQ(events.back().reason, "not_in_group");
}

TEST_F(RecentEventsTest, OnePodAgainAndAgainPushesOutNobody) {
  Refuse("quiet", wire::Status::kNotInGroup);
  Refuse("loud", wire::Status::kLimit, "too many: 1");
  for (int i = 0; i < 100; ++i) Refuse("loud", wire::Status::kLimit, "too many: 2");
  const std::vector<Event> events = events_.All();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].pod_name, "quiet");
  EXPECT_EQ(events[1].count, 101U);
  EXPECT_EQ(events[1].message, "too many: 2");
  EXPECT_EQ(events[1].last_seen - events[1].first_seen, seconds(100));
}

TEST_F(RecentEventsTest, AnotherReasonIsAnotherEvent) {
  Refuse("a", wire::Status::kNotInGroup);
  Refuse("a", wire::Status::kRoleDenied);
  EXPECT_EQ(events_.All().size(), 2U);
}

TEST_F(RecentEventsTest, ProcessesOfNoKnownPodAreAsOnePod) {
  Refuse("a", wire::Status::kNotInGroup);
  for (pid_t pid = 1; pid <= 100; ++pid) {
    events_.AddUnknown(pid, "", {wire::Status::kNotInPod, "in no pod"}, now_);
    events_.AddUnknown(pid, "uid", {wire::Status::kUnknownPod, "not known"}, now_);
  }
  const std::vector<Event> events = events_.All();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].pod_name, "a");
  EXPECT_EQ(events[1].pod_name, "");
  EXPECT_EQ(events[1].reason, "not_in_pod");
  EXPECT_EQ(events[1].pid, 100);
  EXPECT_EQ(events[1].count, 100U);
  EXPECT_EQ(events[2].pod_uid, "uid");
  EXPECT_EQ(events[2].message, "not known");
}

}  // namespace
}  // namespace npu_ipc::broker
