#include "plugin/kubelet/device_plugin_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>

#include "plugin/kubelet/registration.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/kubelet/fake_resource.h"

namespace npu_ipc::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kName[] = "example.com/npu";

class DevicePluginServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto kubelet = FakeKubelet::Start(directory_.path());
    ASSERT_TRUE(kubelet.ok()) << kubelet.status().message();
    kubelet_ = std::move(*kubelet);
    server_ = Serve();
    ASSERT_NE(server_, nullptr);
    ASSERT_TRUE(Register().ok());
  }

  std::unique_ptr<DevicePluginServer> Serve() {
    auto server = DevicePluginServer::Serve(path_, resource_, [](int) {});
    EXPECT_TRUE(server.ok()) << server.status().message();
    return server.ok() ? std::move(*server) : nullptr;
  }
  Status Register() {
    std::promise<Status> done;
    const auto registration = Registration::Start(
        {directory_.Path("kubelet.sock"), "plugin.sock", kName}, std::chrono::seconds(30),
        [&](const Status& status) { done.set_value(status); }, nullptr);
    return done.get_future().get();
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.Path("plugin.sock");
  std::shared_ptr<FakeResource> resource_ = std::make_shared<FakeResource>(
      kName, std::vector<AdvertisedDevice>{{"a", true, {0, 1}}, {"b", false, {}}});
  std::unique_ptr<FakeKubelet> kubelet_;
  std::unique_ptr<DevicePluginServer> server_;
};

TEST_F(DevicePluginServerTest, SendsTheWholeListAtOnce) {
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kName, 1).ok());
  const auto devices = kubelet_->Devices(kName);
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].id, "a");
  EXPECT_THAT(devices[0].numa_nodes, ElementsAre(0, 1));
  EXPECT_EQ(devices[1].id, "b");
  EXPECT_FALSE(devices[1].healthy);
  EXPECT_TRUE(devices[1].numa_nodes.empty());
}

TEST_F(DevicePluginServerTest, EndsWithTheLastOfManyChanges) {
  for (int i = 1; i <= 200; ++i) {
    resource_->Set(std::vector<AdvertisedDevice>(static_cast<size_t>(i), {"a", true, {}}));
    server_->DevicesChanged();
  }
  const Status waited = kubelet_->WaitForHealthyDevices(kName, 200);
  EXPECT_TRUE(waited.ok()) << waited.message();
}

TEST_F(DevicePluginServerTest, CarriesEverythingThatAllocateGives) {
  const auto changes = kubelet_->Allocate(kName, {"a", "b"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  const auto expected = resource_->Allocate({"a", "b"});
  EXPECT_EQ(changes->device_nodes, expected->device_nodes);
  EXPECT_EQ(changes->mounts, expected->mounts);
  EXPECT_EQ(changes->environment, expected->environment);
  EXPECT_EQ(changes->annotations, expected->annotations);
  EXPECT_EQ(changes->cdi_devices, expected->cdi_devices);
}

TEST_F(DevicePluginServerTest, PassesARefusalOnInItsOwnWords) {
  const Status status = kubelet_->Allocate(kName, {"a", "bad"}).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("device 'bad' is unhealthy"));
}

TEST_F(DevicePluginServerTest, AnswersWhatIsPreferred) {
  const auto ids = kubelet_->GetPreferredAllocation(kName, {"a", "b"}, {"b"}, 2);
  ASSERT_TRUE(ids.ok()) << ids.status().message();
  EXPECT_THAT(*ids, ElementsAre("b", "a"));
  EXPECT_EQ(kubelet_->GetPreferredAllocation(kName, {"a"}, {}, 2).status().code(),
            StatusCode::kInvalidArgument);
  const Status negative = kubelet_->GetPreferredAllocation(kName, {"a"}, {}, -1).status();
  EXPECT_EQ(negative.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(negative.message(), HasSubstr("-1"));
}

TEST_F(DevicePluginServerTest, HasNothingToDoBeforeAContainerStarts) {
  EXPECT_TRUE(kubelet_->PreStartContainer(kName, {"a"}).ok());
}

TEST_F(DevicePluginServerTest, ListensForItsOwnerAlone) {
  struct stat socket = {};
  ASSERT_EQ(::stat(path_.c_str(), &socket), 0);
  EXPECT_EQ(socket.st_mode & 07777, 0600u);
}

TEST_F(DevicePluginServerTest, EndsItsStreamsAndRemovesItsSocket) {
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kName, 1).ok());
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(kubelet_->WaitForHealthyDevices(kName, 0).ok());
  EXPECT_EQ(kubelet_->Allocate(kName, {"a"}).status().code(), StatusCode::kUnavailable);
}

TEST_F(DevicePluginServerTest, KnowsWhetherItsSocketIsInPlace) {
  EXPECT_TRUE(server_->SocketInPlace());
  std::filesystem::remove(path_);
  EXPECT_FALSE(server_->SocketInPlace());
  std::ofstream(path_) << "something else";
  EXPECT_FALSE(server_->SocketInPlace());
}

TEST_F(DevicePluginServerTest, ReplacesASocketThatADeadProcessLeft) {
  const std::string left = directory_.Path("left.sock");
  std::filesystem::create_hard_link(path_, left);
  server_.reset();
  std::filesystem::rename(left, path_);
  server_ = Serve();
  ASSERT_NE(server_, nullptr);
  EXPECT_TRUE(Register().ok());
}

TEST_F(DevicePluginServerTest, DoesNotTakeThePathFromALiveProcess) {
  const Status second = DevicePluginServer::Serve(path_, resource_, [](int) {}).status();
  EXPECT_EQ(second.code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(second.message(), HasSubstr(path_));
  EXPECT_TRUE(kubelet_->Allocate(kName, {"a"}).ok());
}

TEST_F(DevicePluginServerTest, RefusesAPathThatASocketCannotHave) {
  const Status status =
      DevicePluginServer::Serve(directory_.Path(std::string(120, 'x')), resource_, [](int) {
      }).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("107"));
}

TEST_F(DevicePluginServerTest, SaysThatItCannotListen) {
  EXPECT_EQ(DevicePluginServer::Serve(directory_.Path("none/plugin.sock"), resource_, [](int) {})
                .status()
                .code(),
            StatusCode::kNotFound);
}

}  // namespace
}  // namespace npu_ipc::kubelet
