#include <vector>

#include "gtest/gtest.h"
#include "plugin/broker/connect_limit.h"
#include "plugin/broker/deadlines.h"
#include "plugin/broker/generations.h"
#include "plugin/broker/line_limit.h"
#include "plugin/broker/peer_access.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::seconds;

TEST(Deadlines, RunsWhatIsDueInOrderAndOnce) {
  Deadlines deadlines;
  const TimePoint start{};
  std::vector<int> ran;
  deadlines.Add(start + seconds(2), [&] { ran.push_back(2); });
  deadlines.Add(start + seconds(1), [&] {
    ran.push_back(1);
    deadlines.Add(start + seconds(1), [&] { ran.push_back(11); });
  });
  const Deadlines::Id cancelled = deadlines.Add(start + seconds(1), [&] { ran.push_back(0); });
  deadlines.Cancel(cancelled);
  deadlines.Cancel(cancelled);
  deadlines.Cancel(0);
  EXPECT_EQ(deadlines.Next(), start + seconds(1));
  deadlines.RunDue(start);
  EXPECT_TRUE(ran.empty());
  deadlines.RunDue(start + seconds(1));
  EXPECT_EQ(ran, (std::vector<int>{1, 11}));
  deadlines.RunDue(start + seconds(9));
  EXPECT_EQ(ran, (std::vector<int>{1, 11, 2}));
  EXPECT_EQ(deadlines.Next(), std::nullopt);
}

TEST(Generations, StayHigherThanAnyBeforeOfThatNameWhenItWasForgotten) {
  Generations generations(2);
  const auto next = [&](const char* name) { return generations.Next({{"ns", "group"}, name}); };
  EXPECT_EQ(next("a"), 1U);
  EXPECT_EQ(next("a"), 2U);
  EXPECT_EQ(next("a"), 3U);
  EXPECT_EQ(next("b"), 1U);
  EXPECT_EQ(next("c"), 1U);  // "a" is forgotten
  EXPECT_EQ(next("a"), 4U);
  EXPECT_EQ(next("d"), 4U);
}

TEST(PeerAccess, CountsUsesOfAProcessAndProcessesOfADirection) {
  PeerAccess access;
  const ProcessKey process{1, 1};
  access.Use(process, 0, 1);
  access.Use(process, 0, 1);
  EXPECT_FALSE(access.Release(process, 0, 1));
  EXPECT_TRUE(access.InUse(process, 0, 1));
  EXPECT_FALSE(access.InUse(process, 1, 0));
  EXPECT_TRUE(access.Release(process, 0, 1));
  EXPECT_FALSE(access.Release(process, 0, 1));

  for (pid_t pid = 1; pid <= 32; ++pid) {
    EXPECT_TRUE(access.MayUse({pid, 1}, 0, 1));
    access.Use({pid, 1}, 0, 1);
  }
  EXPECT_FALSE(access.MayUse({33, 1}, 0, 1));
  EXPECT_TRUE(access.MayUse({1, 1}, 0, 1)) << "a process counts once";
  EXPECT_TRUE(access.MayUse({33, 1}, 1, 0)) << "the other direction";
  EXPECT_TRUE(access.MayUse({33, 1}, 0, 0));
  access.Release({7, 1}, 0, 1);
  EXPECT_TRUE(access.MayUse({33, 1}, 0, 1));
}

TEST(LineLimit, SaysHowManyLinesItLeftOut) {
  LineLimit limit;
  TimePoint now(std::chrono::hours(1));
  for (size_t i = 0; i < LineLimit::kLines; ++i) EXPECT_EQ(limit.Next(now), 0U);
  EXPECT_EQ(limit.Next(now), std::nullopt);
  now += LineLimit::kPeriod - std::chrono::nanoseconds(1);
  EXPECT_EQ(limit.Next(now), std::nullopt);
  now += std::chrono::nanoseconds(1);
  EXPECT_EQ(limit.Next(now), 2U);
  EXPECT_EQ(limit.Next(now), 0U);
  EXPECT_EQ(LeftOutText(0), "");
  EXPECT_EQ(LeftOutText(2), " left_out_before=2");
}

TEST(ConnectLimit, IsOfEachProcessAndPassesWithTime) {
  constexpr int kAtOnce = 64;
  ConnectLimit limit;
  TimePoint now(std::chrono::hours(1));
  for (int i = 0; i < kAtOnce; ++i) EXPECT_TRUE(limit.Take(1, kAtOnce, now)) << i;
  EXPECT_FALSE(limit.Take(1, kAtOnce, now));
  EXPECT_TRUE(limit.Take(2, kAtOnce, now)) << "another process";
  now += ConnectLimit::kEvery;
  EXPECT_TRUE(limit.Take(1, kAtOnce, now));
  EXPECT_FALSE(limit.Take(1, kAtOnce, now));
  // As many processes as make it look for those that it can forget: not for this one.
  for (pid_t pid = 100; pid < 300; ++pid) EXPECT_TRUE(limit.Take(pid, kAtOnce, now));
  EXPECT_FALSE(limit.Take(1, kAtOnce, now));
  now += kAtOnce * ConnectLimit::kEvery;
  for (int i = 0; i < kAtOnce; ++i) EXPECT_TRUE(limit.Take(1, kAtOnce, now)) << i;
}

}  // namespace
}  // namespace npu_ipc::broker
