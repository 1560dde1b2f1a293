#include "plugin/device/device_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/fakes/fake_device_manager.h"

namespace npu_ipc::device {
namespace {

using hal::FakeDeviceManager;
using hal::HealthLevel;
using ::testing::HasSubstr;

const Status kTimeout(StatusCode::kUnavailable, "dcmi_get_device_health: -8006 (timeout)");

class DeviceTableTest : public ::testing::Test {
 protected:
  // What a look finds while all is well.
  static Observation Good(std::vector<hal::Device> devices) {
    Observation observation{hal::DeviceInventory{std::move(devices), {}}, {}};
    for (const hal::Device& device : observation.inventory->devices) {
      observation.health.emplace(device.physical_id, hal::DeviceHealth());
    }
    return observation;
  }
  static Observation WithHealth(std::vector<hal::Device> devices, uint32_t physical_id,
                                Result<hal::DeviceHealth> health) {
    Observation observation = Good(std::move(devices));
    observation.health.insert_or_assign(physical_id, std::move(health));
    return observation;
  }
  const SchedulableDevice& Device(size_t index) const {
    return table_.snapshot()->devices.at(index);
  }

  const std::vector<hal::Device> four_ = FakeDeviceManager::Ascend910B(4);
  DeviceTable table_{HealthThresholds{3, 2}};
};

TEST(DeviceIdTest, IsThePhysicalIdAndFitsTheKubelet) {
  EXPECT_EQ(DeviceId(0), "npu-0");
  EXPECT_EQ(DeviceId(15), "npu-15");
  EXPECT_LE(DeviceId(UINT32_MAX).size(), 63u);
}

TEST_F(DeviceTableTest, StartsEmpty) {
  EXPECT_TRUE(table_.snapshot()->devices.empty());
  EXPECT_EQ(table_.snapshot()->problem, "");
}

TEST_F(DeviceTableTest, BelievesTheFirstLook) {
  EXPECT_TRUE(table_.Observe(
      WithHealth(four_, 2, hal::DeviceHealth{HealthLevel::kCritical, {0x80e18005}})));
  ASSERT_EQ(table_.snapshot()->devices.size(), 4u);
  EXPECT_TRUE(Device(0).healthy);
  EXPECT_FALSE(Device(2).healthy);
  EXPECT_THAT(Device(2).reason, HasSubstr("0x80e18005"));
}

TEST_F(DeviceTableTest, MakesASnapshotOnlyOfWhatChanged) {
  table_.Observe(Good(four_));
  const auto first = table_.snapshot();
  EXPECT_FALSE(table_.Observe(Good(four_)));
  EXPECT_EQ(table_.snapshot(), first);
  EXPECT_TRUE(table_.Observe(WithHealth(four_, 0, hal::DeviceHealth{HealthLevel::kCritical, {}})));
  EXPECT_TRUE(first->devices[0].healthy) << "a snapshot that was given out has changed";
}

TEST_F(DeviceTableTest, TrustsADeviceThatFlapsLaterEachTime) {
  DeviceTable table(HealthThresholds{3, 2, 10});
  const auto healthy = [&] { return table.snapshot()->devices.at(0).healthy; };
  const Observation bad = WithHealth(four_, 0, hal::DeviceHealth{HealthLevel::kCritical, {}});
  const auto looks_until_healthy = [&] {
    table.Observe(bad);
    int looks = 0;
    while (!healthy() && looks < 1000) {
      table.Observe(Good(four_));
      ++looks;
    }
    return looks;
  };
  table.Observe(Good(four_));
  for (const int expected : {2, 4, 8, 16, 32, 64, 64}) EXPECT_EQ(looks_until_healthy(), expected);
  for (int look = 0; look < 10; ++look) table.Observe(Good(four_));
  EXPECT_EQ(looks_until_healthy(), 2) << "a calm time makes good";
}

TEST_F(DeviceTableTest, GoesByTheTableOfFaultCodes) {
  const Result<FaultTable> faults =
      FaultTable::Parse(R"({"codes": {"0x1": "ignore", "0x2": "unhealthy"}})");
  ASSERT_TRUE(faults.ok());
  DeviceTable table(HealthThresholds{3, 2}, *faults);
  table.Observe(WithHealth(four_, 0, hal::DeviceHealth{HealthLevel::kCritical, {0x1}}));
  EXPECT_TRUE(table.snapshot()->devices[0].healthy);
  table.Observe(WithHealth(four_, 0, hal::DeviceHealth{HealthLevel::kMinor, {0x2}}));
  EXPECT_FALSE(table.snapshot()->devices[0].healthy);
  EXPECT_THAT(table.snapshot()->devices[0].reason, HasSubstr("0x2"));
}

TEST_F(DeviceTableTest, SaysWhyADeviceCannotBeShared) {
  Observation observation = Good(four_);
  observation.sharing.emplace(0, Status::Ok());
  observation.sharing.emplace(1, Status(StatusCode::kFailedPrecondition, "it is off"));
  table_.Observe(observation);
  EXPECT_TRUE(Device(0).healthy);
  EXPECT_FALSE(Device(1).healthy);
  EXPECT_EQ(Device(1).reason, "it is off");
  observation.sharing.insert_or_assign(0, kTimeout);
  table_.Observe(observation);
  EXPECT_TRUE(Device(0).healthy) << "passing errors must last";
}

TEST_F(DeviceTableTest, GoesOnUsingADeviceThatOnlyNeedsRepairSoon) {
  table_.Observe(WithHealth(four_, 1, hal::DeviceHealth{HealthLevel::kMajor, {}}));
  table_.Observe(WithHealth(four_, 2, hal::DeviceHealth{HealthLevel::kMinor, {}}));
  EXPECT_TRUE(Device(1).healthy);
  EXPECT_TRUE(Device(2).healthy);
}

TEST_F(DeviceTableTest, BelievesAReportedFaultAtOnceAndRecoveryWhenItLasts) {
  table_.Observe(Good(four_));
  table_.Observe(WithHealth(four_, 1, hal::DeviceHealth{HealthLevel::kCritical, {}}));
  EXPECT_FALSE(Device(1).healthy);
  table_.Observe(Good(four_));
  EXPECT_FALSE(Device(1).healthy) << "one good look is not recovery";
  table_.Observe(WithHealth(four_, 1, hal::DeviceHealth{HealthLevel::kCritical, {}}));
  table_.Observe(Good(four_));
  EXPECT_FALSE(Device(1).healthy) << "a device that flaps stays out";
  table_.Observe(Good(four_));
  EXPECT_TRUE(Device(1).healthy);
  EXPECT_EQ(Device(1).reason, "");
}

TEST_F(DeviceTableTest, TakesSilenceForAFaultOnlyWhenItLasts) {
  table_.Observe(Good(four_));
  table_.Observe(WithHealth(four_, 1, kTimeout));
  table_.Observe(WithHealth(four_, 1, kTimeout));
  EXPECT_TRUE(Device(1).healthy);
  table_.Observe(Good(four_));
  table_.Observe(WithHealth(four_, 1, kTimeout));
  table_.Observe(WithHealth(four_, 1, kTimeout));
  EXPECT_TRUE(Device(1).healthy) << "an answer in between starts the count anew";
  table_.Observe(WithHealth(four_, 1, kTimeout));
  EXPECT_FALSE(Device(1).healthy);
  EXPECT_THAT(Device(1).reason, HasSubstr("-8006"));
  EXPECT_TRUE(Device(0).healthy);
}

TEST_F(DeviceTableTest, TakesADriverThatDoesNotAnswerForAFaultOnlyWhenItLasts) {
  table_.Observe(Good(four_));
  const Observation none{Status(StatusCode::kUnavailable, "dcmi_get_card_list: -8012 (not ready)"),
                         {}};
  table_.Observe(none);
  table_.Observe(none);
  EXPECT_TRUE(Device(0).healthy);
  EXPECT_THAT(table_.snapshot()->problem, HasSubstr("-8012"));
  table_.Observe(none);
  EXPECT_EQ(table_.snapshot()->devices.size(), 4u);
  for (const SchedulableDevice& device : table_.snapshot()->devices) EXPECT_FALSE(device.healthy);
  table_.Observe(Good(four_));
  table_.Observe(Good(four_));
  for (const SchedulableDevice& device : table_.snapshot()->devices) EXPECT_TRUE(device.healthy);
}

TEST_F(DeviceTableTest, KeepsADeviceThatVanishedAndKnowsItUnderAnotherLogicalId) {
  table_.Observe(Good(four_));
  std::vector<hal::Device> three = four_;
  three.erase(three.begin() + 1);
  table_.Observe(Good(three));
  ASSERT_EQ(table_.snapshot()->devices.size(), 4u);
  EXPECT_EQ(Device(1).id, "npu-1");
  EXPECT_FALSE(Device(1).healthy);

  std::vector<hal::Device> renumbered = four_;
  renumbered[1].logical_id = 3;
  table_.Observe(Good(renumbered));
  table_.Observe(Good(renumbered));
  ASSERT_EQ(table_.snapshot()->devices.size(), 4u);
  EXPECT_EQ(Device(1).id, "npu-1");
  EXPECT_TRUE(Device(1).healthy);
  EXPECT_EQ(Device(1).hardware.logical_id, 3u);
}

TEST_F(DeviceTableTest, DoesNotTakeADeviceThatTheDriverCouldNotDescribeForGone) {
  table_.Observe(Good(four_));
  std::vector<hal::Device> three = four_;
  three.pop_back();
  Observation partial = Good(three);
  partial.inventory->skipped.push_back(
      {"card 3 device 0", "dcmi_get_device_chip_info: -8006 (timeout)", true});
  table_.Observe(partial);
  EXPECT_TRUE(Device(3).healthy);
  EXPECT_THAT(table_.snapshot()->problem, HasSubstr("card 3 device 0"));
  table_.Observe(partial);
  table_.Observe(partial);
  EXPECT_FALSE(Device(3).healthy);
}

TEST_F(DeviceTableTest, CountsADeviceThatIsNamedTwiceOnce) {
  std::vector<hal::Device> doubled = four_;
  doubled.push_back(four_[0]);
  table_.Observe(Good(doubled));
  EXPECT_EQ(table_.snapshot()->devices.size(), 4u);
}

TEST_F(DeviceTableTest, TrustsNoDeviceWhileTheDriverHangs) {
  table_.Observe(Good(four_));
  EXPECT_TRUE(table_.ObserveHang("the driver has not answered for 60 s"));
  EXPECT_FALSE(table_.ObserveHang("the driver has not answered for 60 s"));
  for (const SchedulableDevice& device : table_.snapshot()->devices) {
    EXPECT_FALSE(device.healthy);
    EXPECT_THAT(device.reason, HasSubstr("60 s"));
  }
}

}  // namespace
}  // namespace npu_ipc::device
