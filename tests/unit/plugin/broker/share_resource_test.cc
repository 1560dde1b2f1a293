#include "plugin/broker/share_resource.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

injection::ContainerChanges Changes() {
  injection::ContainerChanges changes;
  changes.environment["NPU_IPC_SOCKET"] = "/run/npu-ipc/broker.sock";
  changes.mounts.push_back({"/run/npu-ipc", "/run/npu-ipc"});
  return changes;
}

TEST(ShareResource, HasTheIdsThatItWasGiven) {
  const ShareResource resource("npu-ipc.io/share", 4096, Changes());
  const std::vector<kubelet::AdvertisedDevice> devices = resource.Devices();
  std::set<std::string> ids;
  for (const kubelet::AdvertisedDevice& device : devices) {
    ids.insert(device.id);
    EXPECT_TRUE(device.healthy);
    EXPECT_THAT(device.numa_nodes, IsEmpty());
  }
  EXPECT_EQ(ids.size(), 4096U);
  EXPECT_EQ(devices.front().id, "share-0");
  EXPECT_EQ(devices.back().id, "share-4095");
}

TEST(ShareResource, GivesEveryContainerTheSame) {
  const ShareResource resource("npu-ipc.io/share", 8, Changes());
  for (const std::vector<std::string>& ids :
       {std::vector<std::string>{"share-0"}, {"share-7", "share-3"}}) {
    const auto changes = resource.Allocate(ids);
    ASSERT_TRUE(changes.ok()) << changes.status().message();
    EXPECT_EQ(changes->environment, Changes().environment);
    EXPECT_EQ(changes->mounts, Changes().mounts);
    EXPECT_THAT(changes->device_nodes, IsEmpty());
  }
}

TEST(ShareResource, RefusesIdsThatItHasNot) {
  const ShareResource resource("npu-ipc.io/share", 8, Changes());
  for (const char* id : {"share-8", "share-", "share-01", "share--1", "share-1x", "Share-1", "",
                         "910B-0", "share-99999999999999999999"}) {
    const auto changes = resource.Allocate({"share-1", id});
    EXPECT_EQ(changes.status().code(), StatusCode::kNotFound) << id;
    EXPECT_THAT(changes.status().message(), HasSubstr("'" + std::string(id) + "'"));
  }
  EXPECT_EQ(resource.Allocate({}).status().code(), StatusCode::kInvalidArgument);
  const auto twice = resource.Allocate({"share-1", "share-2", "share-1"});
  EXPECT_EQ(twice.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(twice.status().message(), HasSubstr("'share-1'"));
}

TEST(ShareResource, PrefersWhatMustBeThenWhatComesFirst) {
  const ShareResource resource("npu-ipc.io/share", 8, Changes());
  const auto chosen = resource.Prefer({{"share-4", "share-2", "share-3"}, {"share-2"}, 2});
  ASSERT_TRUE(chosen.ok()) << chosen.status().message();
  EXPECT_THAT(*chosen, ElementsAre("share-2", "share-4"));
  EXPECT_EQ(resource.Prefer({{"share-1"}, {}, 2}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(resource.Prefer({{"share-1", "share-2"}, {"share-1", "share-2"}, 1}).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace npu_ipc::broker
