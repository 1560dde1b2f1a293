#include "plugin/device/npu_resource.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_device_manager.h"

namespace npu_ipc::device {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class NpuResourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<SchedulableDevice> devices;
    for (const hal::Device& hardware : hal::FakeDeviceManager::Ascend910B(4)) {
      devices.push_back({DeviceId(hardware.physical_id), hardware, true, ""});
    }
    devices[2].healthy = false;
    devices[2].reason = "the driver reports critical";
    injection::ContainerChanges base;
    base.mounts = {{"/in", "/out", true}};
    base.device_nodes = {{"/dev/davinci_manager", "/dev/davinci_manager", "rw"}};
    base.environment = {{"NAME", "value"}};
    resource_.Update({std::move(devices), {}, std::move(base)});
  }

  NpuResource resource_{"huawei.com/Ascend910B"};
};

TEST_F(NpuResourceTest, AdvertisesEveryDeviceWithHealthAndNumaNode) {
  const std::vector<kubelet::AdvertisedDevice> devices = resource_.Devices();
  ASSERT_EQ(devices.size(), 4u);
  EXPECT_EQ(devices[0].id, "npu-0");
  EXPECT_TRUE(devices[0].healthy);
  EXPECT_THAT(devices[0].numa_nodes, ElementsAre(0));
  EXPECT_THAT(devices[3].numa_nodes, ElementsAre(1));
  EXPECT_FALSE(devices[2].healthy);
}

TEST_F(NpuResourceTest, GivesTheDevicesOwnNodesBesideWhatAllGet) {
  const auto changes = resource_.Allocate({"npu-3", "npu-0"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->device_nodes.size(), 3u);
  EXPECT_EQ(changes->device_nodes[0].host_path, "/dev/davinci_manager");
  EXPECT_EQ(changes->device_nodes[2].host_path, "/dev/davinci3");
  EXPECT_EQ(changes->device_nodes[2].container_path, "/dev/davinci3");
  EXPECT_EQ(changes->device_nodes[1].permissions, "rw");
  EXPECT_EQ(changes->device_nodes[1].host_path, "/dev/davinci0");
  EXPECT_EQ(changes->mounts.size(), 1u);
  EXPECT_EQ(changes->environment.at("NAME"), "value");
}

TEST_F(NpuResourceTest, RefusesUnknownDuplicateAndUnhealthyIdsByName) {
  const Status unknown = resource_.Allocate({"npu-0", "npu-9"}).status();
  EXPECT_EQ(unknown.code(), StatusCode::kNotFound);
  EXPECT_THAT(unknown.message(), HasSubstr("npu-9"));
  const Status duplicate = resource_.Allocate({"npu-1", "npu-1"}).status();
  EXPECT_EQ(duplicate.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(duplicate.message(), HasSubstr("npu-1"));
  const Status unhealthy = resource_.Allocate({"npu-2"}).status();
  EXPECT_EQ(unhealthy.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(unhealthy.message(), HasSubstr("npu-2"));
  EXPECT_THAT(unhealthy.message(), HasSubstr("critical"));
  EXPECT_EQ(resource_.Allocate({}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(NpuResourceTest, PrefersWhatMustBeIncludedThenTheFirstThatAreFree) {
  const auto ids = resource_.Prefer({{"npu-0", "npu-1", "npu-3"}, {"npu-3"}, 2});
  ASSERT_TRUE(ids.ok()) << ids.status().message();
  EXPECT_THAT(*ids, ElementsAre("npu-3", "npu-0"));
}

TEST_F(NpuResourceTest, AdvertisesReplicasAndGivesTheirCardOnce) {
  std::vector<SchedulableDevice> devices;
  for (const hal::Device& hardware : hal::FakeDeviceManager::Ascend910B(2)) {
    devices.push_back({DeviceId(hardware.physical_id), hardware, true, ""});
  }
  resource_.Update({std::move(devices), {}, {}, 2});
  std::vector<std::string> ids;
  for (const auto& device : resource_.Devices()) ids.push_back(device.id);
  EXPECT_THAT(ids, ElementsAre("npu-0::0", "npu-0::1", "npu-1::0", "npu-1::1"));

  const auto changes = resource_.Allocate({"npu-1::1", "npu-0::0", "npu-1::0"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->device_nodes.size(), 2u);
  EXPECT_EQ(changes->device_nodes[1].host_path, "/dev/davinci1");
  EXPECT_EQ(changes->device_nodes[0].host_path, "/dev/davinci0");

  const auto spread = resource_.Prefer({ids, {}, 2});
  ASSERT_TRUE(spread.ok()) << spread.status().message();
  EXPECT_THAT(*spread, ElementsAre("npu-0::0", "npu-1::0"));
  const auto doubled = resource_.Prefer({{ids[1], ids[2], ids[3]}, {"npu-1::1"}, 3});
  ASSERT_TRUE(doubled.ok()) << doubled.status().message();
  EXPECT_THAT(*doubled, ElementsAre("npu-1::1", "npu-0::1", "npu-1::0"));
  for (const char* unknown : {"npu-0", "npu-0::2", "npu-0::00", "npu-0::"}) {
    EXPECT_EQ(resource_.Allocate({unknown}).status().code(), StatusCode::kNotFound) << unknown;
  }
}

TEST_F(NpuResourceTest, RefusesAPreferenceThatCannotBeMet) {
  EXPECT_EQ(resource_.Prefer({{"npu-0"}, {}, 2}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(resource_.Prefer({{"npu-0", "npu-1"}, {"npu-0", "npu-1"}, 1}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(resource_.Prefer({{"npu-0", "npu-0"}, {}, 2}).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace npu_ipc::device
