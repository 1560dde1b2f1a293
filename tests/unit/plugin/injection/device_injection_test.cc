#include "plugin/injection/device_injection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npu_ipc::injection {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

const std::vector<NpuDevice> kDevices = {{"npu-10", 10, "/dev/davinci10"},
                                         {"npu-2", 2, "/dev/davinci2"},
                                         {"npu-10", 10, "/dev/davinci10"}};

ContainerChanges Driver() {
  ContainerChanges driver;
  driver.mounts = {{"/usr/local/Ascend/driver/lib64", "/usr/local/Ascend/driver/lib64", true}};
  driver.device_nodes = {{"/dev/davinci_manager", "/dev/davinci_manager"}};
  return driver;
}

void ExpectNothing(const ContainerChanges& changes) {
  EXPECT_THAT(changes.environment, IsEmpty());
  EXPECT_THAT(changes.mounts, IsEmpty());
  EXPECT_THAT(changes.device_nodes, IsEmpty());
  EXPECT_THAT(changes.annotations, IsEmpty());
  EXPECT_THAT(changes.cdi_devices, IsEmpty());
}

TEST(DeviceModeTest, HasAName) {
  EXPECT_THAT(DeviceModeNames(), ElementsAre("mounts", "ascend-runtime", "cdi"));
  EXPECT_EQ(ParseDeviceMode("mounts").value(), DeviceMode::kMounts);
  EXPECT_EQ(ParseDeviceMode("ascend-runtime").value(), DeviceMode::kAscendRuntime);
  EXPECT_EQ(ParseDeviceMode("cdi").value(), DeviceMode::kCdi);
  const Status unknown = ParseDeviceMode("CDI").status();
  EXPECT_EQ(unknown.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(unknown.message(), HasSubstr("'CDI'"));
}

TEST(DeviceChangesTest, GivesNodesAndTheDriversFilesByMounts) {
  const ContainerChanges changes = DeviceChanges(DeviceMode::kMounts, kDevices);
  EXPECT_THAT(changes.device_nodes,
              ElementsAre(DeviceNode{"/dev/davinci2", "/dev/davinci2", "rw"},
                          DeviceNode{"/dev/davinci10", "/dev/davinci10", "rw"}));
  EXPECT_THAT(changes.environment, IsEmpty());
  EXPECT_THAT(changes.cdi_devices, IsEmpty());
  const ContainerChanges common = CommonChanges(DeviceMode::kMounts, Driver());
  EXPECT_EQ(common.mounts, Driver().mounts);
  EXPECT_EQ(common.device_nodes, Driver().device_nodes);
}

TEST(DeviceChangesTest, LeavesAllButTheChoiceToTheAscendDockerRuntime) {
  const ContainerChanges changes = DeviceChanges(DeviceMode::kAscendRuntime, kDevices);
  EXPECT_THAT(changes.environment, ElementsAre(Pair("ASCEND_RUNTIME_OPTIONS", ""),
                                               Pair("ASCEND_VISIBLE_DEVICES", "2,10")));
  EXPECT_THAT(changes.device_nodes, IsEmpty());
  EXPECT_THAT(changes.mounts, IsEmpty());
  EXPECT_THAT(changes.cdi_devices, IsEmpty());
  ExpectNothing(CommonChanges(DeviceMode::kAscendRuntime, Driver()));
}

TEST(DeviceChangesTest, GivesNamesByCdi) {
  const ContainerChanges changes = DeviceChanges(DeviceMode::kCdi, kDevices);
  EXPECT_THAT(changes.cdi_devices, ElementsAre("npu-ipc.io/npu=npu-2", "npu-ipc.io/npu=npu-10"));
  EXPECT_THAT(changes.device_nodes, IsEmpty());
  EXPECT_THAT(changes.environment, IsEmpty());
  ExpectNothing(CommonChanges(DeviceMode::kCdi, Driver()));
}

}  // namespace
}  // namespace npu_ipc::injection
