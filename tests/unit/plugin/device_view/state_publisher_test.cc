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
using ::testing::IsEmpty;
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
  void Allocate(const std::vector<std::string>& ids) {
    publisher_.AddAllocation(kResource, ids, milliseconds(1));
    publisher_.Publish();
  }
  // The device ids of each allocation.
  std::vector<std::vector<std::string>> Allocated() {
    std::vector<std::vector<std::string>> all;
    for (const auto& [id, allocation] : publisher_.Current()->allocations) {
      all.push_back(allocation.device_ids);
    }
    return all;
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

TEST_F(StatePublisherTest, ADeviceIsOfOneContainerAtATime) {
  Allocate({"npu-1", "npu-0"});
  Allocate({"npu-2"});
  EXPECT_THAT(Allocated(), ElementsAre(ElementsAre("npu-0", "npu-1"), ElementsAre("npu-2")));
  Allocate({"npu-1", "npu-3"});
  EXPECT_THAT(Allocated(), ElementsAre(ElementsAre("npu-2"), ElementsAre("npu-1", "npu-3")));
}

TEST_F(StatePublisherTest, CountsWhatTheKubeletAsked) {
  Allocate({"npu-0"});
  publisher_.AddFailedAllocation(kResource, milliseconds(3));
  publisher_.AddRegistration(kResource);
  publisher_.AddRegistration(kResource);
  publisher_.Publish();
  const ResourceStatistics statistics = publisher_.Current()->resources.at(kResource);
  EXPECT_EQ(statistics.registrations, 2u);
  EXPECT_EQ(statistics.allocate_failures, 1u);
  EXPECT_NEAR(statistics.allocate.sum_seconds, 0.004, 1e-9);
  EXPECT_THAT(Allocated(), ElementsAre(ElementsAre("npu-0"))) << "a refusal gave nothing";
}

TEST_F(StatePublisherTest, TakesPodsFromTheKubeletsList) {
  Allocate({"npu-0", "npu-1"});
  Allocate({"npu-2"});
  const WallTime listed = now_;
  now_ += milliseconds(1);
  Allocate({"npu-3"});  // younger than the list
  publisher_.SetHolders({{kResource, {"npu-1", "npu-0"}, "default", "trainer", "main"},
                         {kResource, {"npu-5"}, "default", "older", "main"}},
                        listed);
  publisher_.Publish();
  const auto allocations = publisher_.Current()->allocations;
  EXPECT_EQ(allocations.at(1).pod_name, "trainer");
  EXPECT_EQ(allocations.at(1).allocated, WallTime(milliseconds(1000))) << "its time was known";
  EXPECT_FALSE(allocations.contains(2)) << "its pod is gone";
  EXPECT_THAT(Allocated(), ElementsAre(ElementsAre("npu-0", "npu-1"), ElementsAre("npu-3"),
                                       ElementsAre("npu-5")));
  publisher_.SetHolders({}, now_);
  publisher_.Publish();
  EXPECT_THAT(Allocated(), IsEmpty());
}

}  // namespace
}  // namespace npu_ipc::device_view
