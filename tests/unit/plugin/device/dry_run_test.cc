#include "plugin/device/dry_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_device_manager.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/device/shared_device_manager.h"

namespace npu_ipc::device {
namespace {

using ::testing::HasSubstr;

class DryRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    settings_.library.store = directory_.Path("store");
    settings_.library.socket_directory = directory_.Path("run");
    settings_.driver.host_root = directory_.Path("host");
  }
  nlohmann::json Json() {
    return nlohmann::json::parse(DryRun(settings_, OpenShared(driver_), true), nullptr, false);
  }

  TemporaryDirectory directory_;
  Settings settings_;
  std::shared_ptr<hal::FakeDeviceManager> driver_ =
      std::make_shared<hal::FakeDeviceManager>(hal::FakeDeviceManager::Ascend910C(2));
};

TEST_F(DryRunTest, ShowsWhatTheKubeletAndAContainerWouldBeTold) {
  driver_->SetHealth(0, hal::HealthLevel::kCritical);
  const nlohmann::json shown = Json();
  ASSERT_EQ(shown["resources"].size(), 1u) << shown;
  const nlohmann::json& resource = shown["resources"][0];
  EXPECT_EQ(resource["name"], "huawei.com/Ascend910C");
  ASSERT_EQ(resource["devices"].size(), 4u);
  EXPECT_EQ(resource["devices"][0]["healthy"], false);
  EXPECT_EQ(resource["devices"][0]["reason"], "the driver reports critical");
  EXPECT_EQ(resource["devices"][1]["id"], "npu-1");
  EXPECT_EQ(resource["devices"][2]["numaNode"], 1);
  EXPECT_EQ(resource["links"]["npu-3"]["npu-2"], hal::LinkTypeName(hal::LinkType::kSio));
  EXPECT_EQ(resource["example"]["preferred"], (nlohmann::json{"npu-2", "npu-3"}));
  EXPECT_EQ(resource["example"]["allocate"]["deviceNodes"][1]["hostPath"], "/dev/davinci3");
}

TEST_F(DryRunTest, ChangesNothing) {
  settings_.replicas = 2;
  settings_.health.sharing = {true, true};
  const nlohmann::json shown = Json();
  EXPECT_EQ(shown["resources"][0]["devices"].size(), 8u);
  EXPECT_THAT(shown["resources"][0]["devices"][0]["reason"].get<std::string>(),
              HasSubstr("device-share"));
  EXPECT_TRUE(shown["resources"][0]["example"].is_null()) << "there is nothing to allocate";
  EXPECT_FALSE(*driver_->DeviceShare(0));
  EXPECT_FALSE(std::filesystem::exists(settings_.library.store));
  EXPECT_FALSE(std::filesystem::exists(settings_.library.socket_directory));
}

TEST_F(DryRunTest, TellsWhyThereIsNothing) {
  driver_->FailWith(Status(StatusCode::kUnavailable, "dcmi_init: -8012"));
  EXPECT_EQ(Json()["problem"], "dcmi_init: -8012");
  const std::string text = DryRun(settings_, OpenShared(driver_), false);
  EXPECT_THAT(text, HasSubstr("problem: dcmi_init: -8012"));
  EXPECT_THAT(text, HasSubstr("nothing would be advertised"));
}

TEST_F(DryRunTest, SpeaksToAPersonByDefault) {
  const std::string text = DryRun(settings_, OpenShared(driver_), false);
  EXPECT_THAT(text, HasSubstr("resource huawei.com/Ascend910C: 4 devices"));
  EXPECT_THAT(text, HasSubstr("id=npu-1 healthy=true numaNode=0"));
  EXPECT_THAT(text, HasSubstr("links of npu-0: npu-1=SIO"));
}

}  // namespace
}  // namespace npu_ipc::device
