#include "plugin/device_view/state_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_device_manager.h"

namespace npu_ipc::device_view {
namespace {

using hal::FakeDeviceManager;
using hal::HealthLevel;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::Pair;

constexpr char kResource[] = "huawei.com/Ascend910B";

class StatePublisherTest : public ::testing::Test {
 protected:
  static std::vector<DeviceReport> Reports(uint32_t count) {
    std::vector<DeviceReport> reports;
    for (const hal::Device& hardware : FakeDeviceManager::Ascend910B(count)) {
      reports.push_back({"npu-" + std::to_string(hardware.physical_id),
                         kResource,
                         hardware,
                         true,
                         HealthLevel::kOk,
                         {},
                         ""});
    }
    return reports;
  }
  void Report(const std::vector<DeviceReport>& reports) {
    publisher_.SetDevices(reports);
    publisher_.Publish();
  }
  void Hold(const std::vector<HeldDevices>& held) {
    publisher_.SetAllocations(held);
    publisher_.Publish();
  }

  WallTime now_{milliseconds(1000)};
  StatePublisher publisher_{[this] { return now_; }};
};

TEST_F(StatePublisherTest, HasAStateFromTheStart) {
  EXPECT_NE(publisher_.Current(), nullptr);
  EXPECT_GT(publisher_.Current()->sequence, 0u) << "0 means no state";
}

TEST_F(StatePublisherTest, GivesOutStatesThatNeverChange) {
  Report(Reports(2));
  const auto first = publisher_.Current();
  const NodeState copy = *first;
  Report(Reports(3));
  EXPECT_EQ(*first, copy);
  EXPECT_EQ(publisher_.Current()->devices.size(), 3u);
  EXPECT_GT(publisher_.Current()->sequence, first->sequence);
}

TEST_F(StatePublisherTest, ToldTheSameAgainItStaysSilent) {
  Report(Reports(2));
  int told = 0;
  publisher_.SetListener([&] { ++told; });
  const uint64_t sequence = publisher_.Current()->sequence;
  Report(Reports(2));
  EXPECT_EQ(told, 0);
  EXPECT_EQ(publisher_.Current()->sequence, sequence);
  Report(Reports(1));
  EXPECT_EQ(told, 1);
  publisher_.SetListener({});
  Report(Reports(2));
  EXPECT_EQ(told, 1) << "taken off";
}

TEST_F(StatePublisherTest, KeepsHealthChangesWithTimesAndReasons) {
  Report(Reports(1));
  now_ += milliseconds(500);
  auto reports = Reports(1);
  reports[0].healthy = false;
  reports[0].level = HealthLevel::kCritical;
  reports[0].fault_codes = {0x80C98009};
  reports[0].reason = "the driver reports critical";
  Report(reports);
  now_ += milliseconds(500);
  Report(reports);  // nothing new
  Report(Reports(1));
  const DeviceState device = publisher_.Current()->devices.at("npu-0");
  ASSERT_EQ(device.health_history.size(), 3u);
  EXPECT_EQ(device.health_history[0].since, WallTime(milliseconds(1000)));
  EXPECT_EQ(device.health_history[1].since, WallTime(milliseconds(1500)));
  EXPECT_EQ(device.health_history[1].reason, "the driver reports critical");
  EXPECT_THAT(device.health_history[1].fault_codes, ElementsAre(0x80C98009));
  EXPECT_EQ(device.health, device.health_history[2]);
  EXPECT_EQ(device.health.since, WallTime(milliseconds(2000)));
  EXPECT_EQ(device.health_changes, 2u);
}

TEST_F(StatePublisherTest, BoundsTheHistoryAndNotItsCount) {
  const size_t changes = 2 * StatePublisher::kHealthHistory;
  for (size_t i = 0; i <= changes; ++i) {
    auto reports = Reports(1);
    reports[0].healthy = i % 2 == 0;
    now_ += milliseconds(1);
    Report(reports);
  }
  const DeviceState device = publisher_.Current()->devices.at("npu-0");
  EXPECT_EQ(device.health_history.size(), StatePublisher::kHealthHistory);
  EXPECT_EQ(device.health_history.back().since, now_) << "the oldest go, not the newest";
  EXPECT_EQ(device.health_changes, changes);
}

TEST_F(StatePublisherTest, DropsTheUsageOfADeviceThatIsGone) {
  Report(Reports(2));
  hal::DeviceUsage usage;
  usage.temperature_celsius = 40;
  publisher_.SetUsage({{"npu-0", usage}, {"npu-1", usage}});
  Report(Reports(1));
  EXPECT_THAT(publisher_.Current()->usage, ElementsAre(Pair("npu-0", usage)));
}

TEST_F(StatePublisherTest, NotesTheLastLookThatTheDriverAnswered) {
  publisher_.SetDriver("24.1.rc3", "", true);
  now_ += milliseconds(500);
  publisher_.SetDriver("24.1.rc3", "it hangs", false);
  publisher_.Publish();
  const NodeFacts facts = publisher_.Current()->facts;
  EXPECT_EQ(facts.last_look, WallTime(milliseconds(1000)));
  EXPECT_EQ(facts.problem, "it hangs");
}

TEST_F(StatePublisherTest, AnAllocationKeepsItsIdAndTimeWhenItGetsAName) {
  Hold({{kResource, {"npu-0", "npu-1"}}});
  now_ += milliseconds(500);
  Hold({{kResource, {"npu-2"}}, {kResource, {"npu-0", "npu-1"}, "default", "trainer", "main"}});
  const auto allocations = publisher_.Current()->allocations;
  ASSERT_EQ(allocations.size(), 2u);
  const Allocation& first = allocations.at(1);
  EXPECT_EQ(first.allocated, WallTime(milliseconds(1000)));
  EXPECT_EQ(first.pod_name, "trainer");
  EXPECT_THAT(first.device_ids, ElementsAre("npu-0", "npu-1"));
  EXPECT_EQ(allocations.at(2).allocated, WallTime(milliseconds(1500)));
}

TEST_F(StatePublisherTest, AnAllocationThatIsNotHeldAnyMoreIsGone) {
  Hold({{kResource, {"npu-0"}}, {"other.com/resource", {"npu-0"}}});
  Hold({{"other.com/resource", {"npu-0"}}});
  EXPECT_EQ(publisher_.Current()->allocations.size(), 1u);
  EXPECT_EQ(publisher_.Current()->allocations.at(2).resource, "other.com/resource");
  Hold({{kResource, {"npu-0"}}});
  EXPECT_TRUE(publisher_.Current()->allocations.contains(3)) << "an id was used again";
}

TEST_F(StatePublisherTest, TellsHoldersOfOneCardApart) {
  Hold({{kResource, {"npu-0"}, "default", "a", "main"},
        {kResource, {"npu-0"}, "default", "b", "main"}});
  Hold({{kResource, {"npu-0"}, "default", "b", "main"}});
  const auto allocations = publisher_.Current()->allocations;
  ASSERT_EQ(allocations.size(), 1u);
  EXPECT_EQ(allocations.begin()->first, 2u);
  EXPECT_EQ(allocations.begin()->second.pod_name, "b");
}

TEST_F(StatePublisherTest, CountsWhatTheKubeletAsked) {
  publisher_.AddAllocateCall(kResource, milliseconds(1), false);
  publisher_.AddAllocateCall(kResource, milliseconds(3), true);
  publisher_.SetRegistrations(kResource, 2);
  publisher_.Publish();
  const ResourceStatistics statistics = publisher_.Current()->resources.at(kResource);
  EXPECT_EQ(statistics.registrations, 2u);
  EXPECT_EQ(statistics.allocate_failures, 1u);
  EXPECT_NEAR(statistics.allocate.sum_seconds, 0.004, 1e-9);
}

}  // namespace
}  // namespace npu_ipc::device_view
