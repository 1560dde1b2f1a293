#include "plugin/device/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::device {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// What main() makes of arguments: parsed, then held against what the settings must be.
Status Load(std::vector<const char*> arguments, Settings* settings,
            const std::map<std::string, std::string>& environment = {}) {
  config::Options options("npu-device-plugin", "", "NPU_DEVICE_PLUGIN");
  AddOptions(options, settings);
  arguments.insert(arguments.begin(), "npu-device-plugin");
  const auto parsed =
      options.Parse(static_cast<int>(arguments.size()), arguments.data(), environment);
  return parsed.ok() ? Validate(*settings) : parsed.status();
}

TEST(SettingsTest, NeedNone) {
  Settings settings;
  EXPECT_TRUE(Load({}, &settings).ok());
  EXPECT_EQ(settings.resource_910b, "huawei.com/Ascend910B");
  EXPECT_EQ(settings.resource_910c, "huawei.com/Ascend910C");
  EXPECT_EQ(settings.kubelet.directory, "/var/lib/kubelet/device-plugins");
  EXPECT_EQ(settings.dcmi_library, "libdcmi.so");
}

TEST(SettingsTest, ComeFromFlagEnvironmentAndFile) {
  const TemporaryDirectory directory;
  const std::string file = directory.Path("config.json");
  std::ofstream(file) << R"({"health": {"pollInterval": "1s", "hangTimeout": "2m"}})";
  Settings settings;
  const Status status =
      Load({"--config", file.c_str(), "--resources-ascend910c", "example.com/npu"}, &settings,
           {{"NPU_DEVICE_PLUGIN_HEALTH_POLL_INTERVAL", "250ms"}});
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(settings.resource_910c, "example.com/npu");
  EXPECT_EQ(settings.health.poll_interval, std::chrono::milliseconds(250));
  EXPECT_EQ(settings.health.hang_timeout, std::chrono::minutes(2));
}

TEST(SettingsTest, RefuseAResourceNameThatTheKubeletWould) {
  for (const char* name :
       {"Ascend910", "/Ascend910", "huawei.com/", "huawei.com/a b", "huawei.com/-x",
        "huawei.com/x.", "kubernetes.io/x", "node.kubernetes.io/x", "requests.huawei.com/x",
        "huawei.com/a/b",
        "huawei.com/0123456789012345678901234567890123456789012345678901234567890123"}) {
    Settings settings;
    EXPECT_THAT(Load({"--resources-ascend910b", name}, &settings).message(),
                AllOf(HasSubstr("resources.ascend910b"), HasSubstr(name)));
  }
  Settings settings;
  EXPECT_TRUE(Load({"--resources-ascend910b", "huawei.com/Ascend910"}, &settings).ok());
}

TEST(SettingsTest, RefuseARelativePath) {
  for (const char* key :
       {"kubelet-device-plugin-directory", "driver-directory", "driver-host-root",
        "kubelet-pod-resources-socket", "injection-cdi-directory", "injection-library-store",
        "injection-socket-directory", "device-view-socket"}) {
    Settings settings;
    const std::string flag = std::string("--") + key;
    const Status status = Load({flag.c_str(), "some/where"}, &settings);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << key;
    EXPECT_THAT(status.message(), HasSubstr("some/where"));
  }
}

TEST(SettingsTest, TakeOffForTheSocketOfTheDeviceView) {
  Settings settings;
  EXPECT_TRUE(Load({"--device-view-socket", "off"}, &settings).ok());
  EXPECT_TRUE(Load({"--device-view-socket", ""}, &settings).ok());
}

TEST(SettingsTest, RefuseAModeOfInjectionThatThereIsNot) {
  Settings settings;
  EXPECT_TRUE(Load({"--injection-mode", "cdi"}, &settings).ok());
  EXPECT_EQ(settings.injection.mode, "cdi");
  EXPECT_THAT(Load({"--injection-mode", "oci"}, &settings).message(),
              AllOf(HasSubstr("injection-mode"), HasSubstr("ascend-runtime")));
}

TEST(SettingsTest, RefuseReplicasOutOfRange) {
  for (const char* replicas : {"0", "65", "-1", "two"}) {
    Settings settings;
    EXPECT_THAT(Load({"--sharing-replicas", replicas}, &settings).message(),
                AllOf(HasSubstr("sharing-replicas"), HasSubstr(replicas)));
  }
  Settings settings;
  ASSERT_TRUE(Load({"--sharing-replicas", "64"}, &settings).ok());
  ASSERT_TRUE(Complete(&settings).ok());
  EXPECT_TRUE(settings.health.sharing.needed);
  EXPECT_FALSE(settings.health.sharing.manage);
}

TEST(SettingsTest, ReadTheFaultTable) {
  const TemporaryDirectory directory;
  Settings settings;
  settings.fault_table = directory.Path("codes.json");
  EXPECT_THAT(Complete(&settings).message(),
              AllOf(HasSubstr("health.faultTable"), HasSubstr("codes.json")));
  std::ofstream(settings.fault_table) << R"({"codes": {}})";
  ASSERT_TRUE(Complete(&settings).ok());
  EXPECT_EQ(settings.health.faults.size(), 0u);
}

TEST(SettingsTest, RefuseIntervalsOutOfRange) {
  Settings settings;
  EXPECT_THAT(Load({"--health-poll-interval", "0s"}, &settings).message(),
              HasSubstr("health-poll-interval"));
}

}  // namespace
}  // namespace npu_ipc::device
