// Loading: real shared objects that are whole, lacking, failing or absent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "npu_ipc/hal/device_manager.h"

namespace npu_ipc::hal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(OpenDcmiTest, AMissingLibraryIsNotFound) {
  auto manager = OpenDcmi("/nonexistent/libdcmi.so");
  ASSERT_FALSE(manager.ok());
  EXPECT_EQ(manager.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(manager.status().message(), HasSubstr("/nonexistent/libdcmi.so"));
}

TEST(OpenDcmiTest, AllMissingFunctionsAreNamedAtOnce) {
  auto manager = OpenDcmi(NPU_IPC_INCOMPLETE_DCMI);
  ASSERT_FALSE(manager.ok());
  EXPECT_EQ(manager.status().code(), StatusCode::kFailedPrecondition);
  const std::string message = manager.status().message();
  EXPECT_THAT(message, HasSubstr(NPU_IPC_INCOMPLETE_DCMI));
  EXPECT_THAT(message, HasSubstr("dcmi_get_device_logic_id"));
  EXPECT_THAT(message, HasSubstr("dcmi_get_device_health"));
  EXPECT_THAT(message, Not(HasSubstr("dcmi_get_card_list"))) << "that one is there";
  EXPECT_THAT(message, Not(HasSubstr("dcmi_get_device_hbm_info"))) << "that one is not required";
}

TEST(OpenDcmiTest, TheLeastThatIsRequiredIsEnough) {
  auto manager = OpenDcmi(NPU_IPC_MINIMAL_DCMI);
  ASSERT_TRUE(manager.ok()) << manager.status().message();
  Result<DeviceInventory> inventory = (*manager)->Devices();
  ASSERT_TRUE(inventory.ok()) << inventory.status().message();
  ASSERT_EQ(inventory->devices.size(), 1u);
  EXPECT_EQ(inventory->devices[0].physical_id, 4u);
  EXPECT_EQ((*manager)->Health(4)->level, HealthLevel::kMinor);
  EXPECT_EQ((*manager)->Usage(4).status().code(), StatusCode::kUnimplemented);
}

TEST(OpenDcmiTest, ADriverThatIsNotReadyIsUnavailable) {
  auto manager = OpenDcmi(NPU_IPC_UNREADY_DCMI);
  ASSERT_FALSE(manager.ok());
  EXPECT_EQ(manager.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(manager.status().message(), HasSubstr("-8012"));
}

}  // namespace
}  // namespace npu_ipc::hal
