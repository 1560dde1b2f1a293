#include "hal/sim/driver/device_table.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npu_ipc::sim {
namespace {

constexpr uint64_t kContainerA = 4026531001;
constexpr uint64_t kContainerB = 4026531002;

ProcessFacts InContainer(pid_t pid, uint64_t mount_namespace) {
  ProcessFacts facts;
  facts.pid = pid;
  facts.mount_namespace = mount_namespace;
  facts.devices = {0, 1};
  return facts;
}

ProcessFacts OnHost(pid_t pid) {
  ProcessFacts facts = InContainer(pid, 1);
  facts.is_host = true;
  return facts;
}

ProcessFacts Admin(pid_t pid) {
  ProcessFacts facts = InContainer(pid, 4026531099);
  facts.is_admin = true;
  return facts;
}

class DeviceTableTest : public ::testing::Test {
 protected:
  DeviceTable devices_{4};
  bool was_last_ = false;
};

TEST_F(DeviceTableTest, ADeviceBelongsToTheFirstContainerThatOpensIt) {
  EXPECT_TRUE(devices_.Open(InContainer(10, kContainerA), 0).ok());
  EXPECT_TRUE(devices_.Open(InContainer(11, kContainerA), 0).ok());
  EXPECT_EQ(devices_.Open(InContainer(20, kContainerB), 0).error, EBUSY);
  EXPECT_EQ(devices_.CheckAccess(InContainer(20, kContainerB), 0).error, EBUSY);
  EXPECT_TRUE(devices_.Open(InContainer(20, kContainerB), 1).ok());
}

TEST_F(DeviceTableTest, ADeviceIsFreeOnceAllOpensFromItsContainerAreClosed) {
  ASSERT_TRUE(devices_.Open(InContainer(10, kContainerA), 0).ok());
  ASSERT_TRUE(devices_.Open(InContainer(10, kContainerA), 0).ok());
  ASSERT_TRUE(devices_.Open(InContainer(11, kContainerA), 0).ok());
  EXPECT_TRUE(devices_.Close(10, 0, &was_last_).ok());
  EXPECT_FALSE(was_last_);
  EXPECT_TRUE(devices_.Close(10, 0, &was_last_).ok());
  EXPECT_TRUE(was_last_);
  EXPECT_EQ(devices_.Open(InContainer(20, kContainerB), 0).error, EBUSY);
  devices_.Release(11);
  EXPECT_TRUE(devices_.Open(InContainer(20, kContainerB), 0).ok());
  EXPECT_EQ(devices_.Open(InContainer(10, kContainerA), 0).error, EBUSY);
}

TEST_F(DeviceTableTest, ADeviceThatIsNotInDevDoesNotExistForTheProcess) {
  EXPECT_EQ(devices_.Open(InContainer(10, kContainerA), 2).error, ENODEV);
  EXPECT_EQ(devices_.Open(OnHost(10), 2).error, ENODEV);
  EXPECT_EQ(devices_.Open(InContainer(10, kContainerA), 4).error, ENODEV);
  EXPECT_EQ(devices_.Open(InContainer(10, kContainerA), UINT32_MAX).error, ENODEV);
}

TEST_F(DeviceTableTest, HostAndAdminNeitherBindADeviceNorAreKeptFromIt) {
  EXPECT_TRUE(devices_.Open(OnHost(1), 0).ok());
  EXPECT_TRUE(devices_.Open(Admin(2), 0).ok());
  EXPECT_TRUE(devices_.Open(InContainer(10, kContainerA), 0).ok());
  EXPECT_TRUE(devices_.Open(OnHost(3), 0).ok());
  EXPECT_TRUE(devices_.Open(Admin(4), 0).ok());
  devices_.Release(1);
  devices_.Release(2);
  EXPECT_EQ(devices_.Open(InContainer(20, kContainerB), 0).error, EBUSY);
}

TEST_F(DeviceTableTest, ClosingWhatIsNotOpenIsAnError) {
  EXPECT_EQ(devices_.Close(10, 0, &was_last_).error, EINVAL);
  EXPECT_EQ(devices_.Close(10, 99, &was_last_).error, EINVAL);
  ASSERT_TRUE(devices_.Open(InContainer(10, kContainerA), 0).ok());
  EXPECT_EQ(devices_.Close(11, 0, &was_last_).error, EINVAL);
}

TEST_F(DeviceTableTest, DeviceShareLetsSeveralContainersIn) {
  ASSERT_TRUE(devices_.SetShared(OnHost(1), 0, true).ok());
  EXPECT_TRUE(devices_.IsShared(0));
  EXPECT_FALSE(devices_.IsShared(1));
  EXPECT_TRUE(devices_.Open(InContainer(10, kContainerA), 0).ok());
  EXPECT_TRUE(devices_.Open(InContainer(20, kContainerB), 0).ok());
  EXPECT_THAT(devices_.ProcessesOn(0), ::testing::UnorderedElementsAre(10, 20));
}

TEST_F(DeviceTableTest, DeviceShareIsForHostAndAdminAndNotWhileAContainerHasTheDevice) {
  EXPECT_EQ(devices_.SetShared(InContainer(10, kContainerA), 0, true).error, EPERM);
  ASSERT_TRUE(devices_.Open(InContainer(10, kContainerA), 0).ok());
  EXPECT_EQ(devices_.SetShared(OnHost(1), 0, true).error, EBUSY);
  EXPECT_TRUE(devices_.SetShared(OnHost(1), 0, false).ok()) << "it is off already";
  EXPECT_EQ(devices_.SetShared(OnHost(1), 99, true).error, EINVAL);
  devices_.Release(10);
  EXPECT_TRUE(devices_.SetShared(Admin(1), 0, true).ok());
}

}  // namespace
}  // namespace npu_ipc::sim
