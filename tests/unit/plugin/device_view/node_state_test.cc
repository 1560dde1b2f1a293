#include "plugin/device_view/node_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugin/device_view/states.h"

namespace npu_ipc::device_view {
namespace {

using hal::LinkType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(NodeStateTest, DifferenceFromNothingIsTheWholeState) {
  const NodeState state = FullState(5);
  const NodeChange change = Difference(NodeState(), state);
  EXPECT_EQ(change.from_sequence, 0u);
  NodeState made = FullState(9);
  made.devices["npu-99"].id = "npu-99";  // of a run before: to be forgotten
  ASSERT_TRUE(Apply(change, &made).ok());
  EXPECT_EQ(made, state);
}

TEST(NodeStateTest, DifferenceHoldsOnlyWhatChanged) {
  const NodeState before = FullState(5);
  NodeState after = FullState(6);
  after.devices["npu-2"].health.reason = "it still burns";
  after.usage["npu-1"].temperature_celsius = 99;
  const NodeChange change = Difference(before, after);
  EXPECT_FALSE(change.facts.has_value());
  EXPECT_FALSE(change.links.has_value());
  ASSERT_EQ(change.devices.size(), 1u);
  EXPECT_EQ(change.devices[0].id, "npu-2");
  EXPECT_THAT(change.usage, ElementsAre(Pair("npu-1", after.usage["npu-1"])));
  EXPECT_THAT(change.allocations, IsEmpty());
  EXPECT_THAT(change.resources, IsEmpty());
  NodeState made = before;
  ASSERT_TRUE(Apply(change, &made).ok());
  EXPECT_EQ(made, after);
}

TEST(NodeStateTest, DifferenceTakesAwayWhatIsGone) {
  const NodeState before = FullState(5);
  NodeState after = FullState(6);
  after.facts.problem.clear();
  after.devices.erase("npu-3");
  after.usage.erase("npu-3");
  after.usage.erase("npu-0");  // which itself stays
  after.links.clear();
  after.allocations.clear();
  NodeState made = before;
  ASSERT_TRUE(Apply(Difference(before, after), &made).ok());
  EXPECT_EQ(made, after);
}

TEST(NodeStateTest, RefusesAChangeOfAnotherState) {
  NodeState known = FullState(5);
  const Status applied = Apply(Difference(FullState(6), FullState(7)), &known);
  EXPECT_EQ(applied.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(applied.message(), HasSubstr("state 6"));
  EXPECT_EQ(known, FullState(5)) << "touched all the same";
}

TEST(NodeStateTest, ReachFollowsTheLinks) {
  NodeState state;
  state.links = {{0, 1, LinkType::kSio}, {0, 2, LinkType::kSystem}, {1, 2, LinkType::kUnknown}};
  EXPECT_EQ(ReachBetween(&state, 0, 1).answer, Reachability::kYes);
  EXPECT_EQ(ReachBetween(&state, 1, 0).link, LinkType::kSio) << "a link has no direction";
  EXPECT_EQ(ReachBetween(&state, 2, 0).answer, Reachability::kNo);
  EXPECT_EQ(ReachBetween(&state, 2, 0).link, LinkType::kSystem);
}

TEST(NodeStateTest, ReachIsUnknownWhereNobodySays) {
  NodeState state;
  state.links = {{0, 1, LinkType::kUnknown}};
  EXPECT_EQ(ReachBetween(&state, 0, 1).answer, Reachability::kUnknown);
  EXPECT_EQ(ReachBetween(&state, 0, 9).answer, Reachability::kUnknown);
  EXPECT_EQ(ReachBetween(nullptr, 0, 1).answer, Reachability::kUnknown);
  EXPECT_EQ(ReachBetween(nullptr, 3, 3).answer, Reachability::kYes);
}

TEST(LatencyHistogramTest, PutsATimeBelowTheBoundThatHoldsIt) {
  LatencyHistogram histogram;
  histogram.Observe(0.00001);  // a bound is of its bucket
  histogram.Observe(0.000011);
  histogram.Observe(11);
  EXPECT_EQ(histogram.counts[0], 1u);
  EXPECT_EQ(histogram.counts[1], 1u);
  EXPECT_EQ(histogram.counts.back(), 1u);
  EXPECT_DOUBLE_EQ(histogram.sum_seconds, 11.000021);
}

}  // namespace
}  // namespace npu_ipc::device_view
