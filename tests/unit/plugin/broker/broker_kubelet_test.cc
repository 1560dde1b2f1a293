// The share resource, between a real broker and a kubelet that the test plays.
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;

constexpr char kShare[] = "npu-ipc.io/share";

class BrokerKubeletTest : public BrokerProcessTest {
 protected:
  void SetUp() override {
    BrokerProcessTest::SetUp();
    offers_share_resource_ = true;
    std::filesystem::create_directory(directory_.Path("lib"));
    std::ofstream(directory_.Path("lib/libnpu_ipc.so")) << "library";
  }
  void StartKubelet() {
    kubelet_.reset();
    auto kubelet = FakeKubelet::Start(kubelet_directory_);
    ASSERT_TRUE(kubelet.ok()) << kubelet.status().message();
    kubelet_ = std::move(*kubelet);
  }
  void StartSharing(const std::string& ids, const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--share-ids=" + ids,
                                      "--kubelet-device-plugin-directory=" + kubelet_directory_,
                                      "--injection-library-source=" + library_source_,
                                      "--injection-library-store=" + directory_.Path("store"),
                                      "--injection-socket-directory=" + directory_.Path("run")};
    flags.insert(flags.end(), more.begin(), more.end());
    StartBroker(flags);
  }
  void ExpectShares(size_t count) {
    const Status status = kubelet_->WaitForHealthyDevices(kShare, count);
    EXPECT_TRUE(status.ok()) << status.message();
  }

  std::string library_source_ = directory_.Path("lib");
  const std::string kubelet_directory_ = directory_.Path("device-plugins");
  std::unique_ptr<FakeKubelet> kubelet_;
};

TEST_F(BrokerKubeletTest, GivesTheLibraryAndTheSocketWithoutADevice) {
  StartKubelet();
  StartSharing("4096");
  ExpectShares(4096);
  const auto changes = kubelet_->Allocate(kShare, {"share-17"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_TRUE(changes->device_nodes.empty());
  ASSERT_EQ(changes->mounts.size(), 2U);
  for (const injection::Mount& mount : changes->mounts) {
    EXPECT_TRUE(mount.read_only) << mount.container_path;
    EXPECT_TRUE(std::filesystem::is_directory(mount.host_path)) << mount.host_path;
  }
  EXPECT_TRUE(std::filesystem::exists(changes->mounts[0].host_path + "/libnpu_ipc.so"));
  EXPECT_EQ(changes->mounts[1].host_path, directory_.Path("run"));
  EXPECT_EQ(changes->environment.at("NPU_IPC_SOCKET"), "/run/npu-ipc/broker.sock");

  const auto unknown = kubelet_->Allocate(kShare, {"share-4096"});
  EXPECT_THAT(unknown.status().message(), HasSubstr("no id 'share-4096'"));
  for (const char* line :
       {"npu_ipc_device_registrations_total{resource=\"npu-ipc.io/share\"} 1\n",
        "npu_ipc_device_allocate_failures_total{resource=\"npu-ipc.io/share\"} 1\n",
        "npu_ipc_device_allocate_duration_seconds_count{resource=\"npu-ipc.io/share\"} 2\n"}) {
    EXPECT_TRUE(WaitUntil([&] { return Get("/metrics").second.find(line) != std::string::npos; }))
        << line;
  }
  const auto preferred =
      kubelet_->GetPreferredAllocation(kShare, {"share-5", "share-6"}, {"share-6"}, 1);
  ASSERT_TRUE(preferred.ok()) << preferred.status().message();
  EXPECT_EQ(*preferred, std::vector<std::string>{"share-6"});
}

// The kubelet takes messages of 4 MiB at most, and drops a plugin that sends a larger one.
TEST_F(BrokerKubeletTest, TheLongestListThatCanBeAskedForArrives) {
  StartKubelet();
  StartSharing("65536");
  ExpectShares(65536);
}

TEST_F(BrokerKubeletTest, RegistersAgainWithEachKubelet) {
  StartKubelet();
  StartSharing("16");
  ExpectShares(16);
  StartKubelet();
  ExpectShares(16);
  kubelet_.reset();
  // Again if it fails: the broker, which has not seen yet that the kubelet is gone, may just have
  // made its socket anew.
  EXPECT_TRUE(WaitUntil([&] {
    std::error_code error;
    std::filesystem::remove_all(kubelet_directory_, error);
    return !error;
  }));
  StartKubelet();
  ExpectShares(16);
  AddClient(AddPod("trainer", "weights"));
}

TEST_F(BrokerKubeletTest, OffersNothingWhereThereIsNoKubeletOrItIsOff) {
  StartSharing("16");
  EXPECT_TRUE(WaitForLog("there is no kubelet.devicePluginDirectory " + kubelet_directory_));
  EXPECT_EQ(Get("/readyz").first, 200);
  AddClient(AddPod("trainer", "weights"));
  EXPECT_FALSE(std::filesystem::exists(directory_.Path("store")));
  broker_->Signal(SIGTERM);
  ASSERT_TRUE(broker_->Wait().ok());

  StartKubelet();
  StartSharing("0");
  AddClient(pods_.front());
  EXPECT_EQ(kubelet_->RegisterCalls(), 0);
  EXPECT_FALSE(std::filesystem::exists(directory_.Path("store")));
}

TEST_F(BrokerKubeletTest, ALibraryThatIsMissingStopsNobodyWhoHasOne) {
  StartKubelet();
  library_source_ = directory_.Path("nothing");
  StartSharing("16");
  const auto [status, body] = Get("/readyz");
  EXPECT_EQ(status, 503);
  EXPECT_THAT(body, HasSubstr("share: npu-ipc.io/share is not offered: "));
  EXPECT_THAT(body, HasSubstr(library_source_));
  AddClient(AddPod("trainer", "weights"));
}

TEST_F(BrokerKubeletTest, RemovesItsSocketWhenItEnds) {
  StartKubelet();
  StartSharing("16", {"--share-resource-name=example.com/marker"});
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices("example.com/marker", 16).ok());
  const std::string socket = kubelet_directory_ + "/npu-ipc-example.com_marker.sock";
  ASSERT_TRUE(std::filesystem::exists(socket));
  broker_->Signal(SIGTERM);
  const Result<int> exit_code = broker_->Wait();
  ASSERT_TRUE(exit_code.ok());
  EXPECT_EQ(*exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(socket));
}

TEST_F(BrokerKubeletTest, NamesTheSettingsThatCannotBeUsed) {
  EXPECT_EQ(RunBroker({"--pods-file=" + pods_file_, "--share-resource-name=share"}), 2);
  EXPECT_THAT(Log(), HasSubstr("share.resourceName is 'share'"));
  EXPECT_EQ(RunBroker({"--pods-file=" + pods_file_, "--share-ids=65537"}), 2);
  EXPECT_THAT(Log(), HasSubstr("65536"));
}

}  // namespace
}  // namespace npu_ipc::broker
