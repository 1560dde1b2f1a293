// The daemon as a whole, in this process, between a kubelet and a driver that the test plays.
#include "plugin/device/daemon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "hal/base/process.h"
#include "tests/fakes/fake_pod_resources.h"
#include "tests/fixtures/child_process.h"
#include "tests/unit/plugin/device/daemon_fixture.h"
#include "tests/unit/plugin/device/shared_device_manager.h"

namespace npu_ipc::device {
namespace {

using hal::FakeDeviceManager;
using hal::HealthLevel;
using ::testing::HasSubstr;

constexpr char k910B[] = "huawei.com/Ascend910B";
constexpr char k910C[] = "huawei.com/Ascend910C";

using DaemonTest = DaemonFixture;

TEST_F(DaemonTest, RegistersWhatTheDriverShows) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  const auto registrations = kubelet_->Registrations();
  ASSERT_EQ(registrations.size(), 1u);
  EXPECT_EQ(registrations[0].resource_name, k910B);
  EXPECT_EQ(registrations[0].version, "v1beta1");
  EXPECT_TRUE(registrations[0].preferred_allocation_available);
  EXPECT_FALSE(registrations[0].pre_start_required);
  const auto devices = kubelet_->Devices(k910B);
  EXPECT_EQ(devices[5].id, "npu-5");
  EXPECT_EQ(devices[5].numa_nodes, std::vector<int64_t>{1});
}

TEST_F(DaemonTest, GivesTheDiesOf910CModulesTheirOwnResource) {
  driver_->SetDevices(FakeDeviceManager::Ascend910C(8));
  settings_.resource_910c = "example.com/Ascend910";
  StartDaemon();
  ExpectHealthy("example.com/Ascend910", 16);
  EXPECT_TRUE(kubelet_->Devices(k910C).empty());
  EXPECT_TRUE(kubelet_->Devices(k910B).empty());
}

TEST_F(DaemonTest, AllocatesNodesLibraryAndSocketDirectory) {
  std::filesystem::create_directories(directory_.Path("host/dev"));
  std::ofstream(directory_.Path("host/dev/davinci_manager")) << "";
  StartDaemon();
  ExpectHealthy(k910B, 8);
  const auto changes = kubelet_->Allocate(k910B, {"npu-2"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->device_nodes.size(), 2u);
  EXPECT_EQ(changes->device_nodes[0].host_path, "/dev/davinci_manager");
  EXPECT_EQ(changes->device_nodes[1].host_path, "/dev/davinci2");
  EXPECT_EQ(changes->environment.at("NPU_IPC_SOCKET"), "/run/npu-ipc/broker.sock");
  ASSERT_EQ(changes->mounts.size(), 2u);
  EXPECT_EQ(changes->mounts[0].container_path, "/usr/local/lib/npu-ipc");
  EXPECT_TRUE(changes->mounts[0].read_only);
  EXPECT_TRUE(std::filesystem::exists(changes->mounts[0].host_path + "/libnpu_ipc.so"));
  EXPECT_EQ(changes->mounts[1].host_path, settings_.library.socket_directory);
  EXPECT_TRUE(changes->mounts[1].read_only);
  EXPECT_TRUE(std::filesystem::is_directory(settings_.library.socket_directory))
      << "nothing to mount";
}

TEST_F(DaemonTest, RefusesABadAllocateWithTheIdNamed) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  driver_->SetHealth(3, HealthLevel::kCritical);
  ExpectHealthy(k910B, 7);
  const Status unhealthy = kubelet_->Allocate(k910B, {"npu-3"}).status();
  EXPECT_EQ(unhealthy.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(unhealthy.message(), HasSubstr("npu-3"));
  EXPECT_EQ(kubelet_->Allocate(k910B, {"npu-8"}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(kubelet_->Allocate(k910B, {"npu-1", "npu-1"}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(DaemonTest, LeavesTheRestToTheAscendDockerRuntime) {
  settings_.injection.mode = "ascend-runtime";
  StartDaemon();
  ExpectHealthy(k910B, 8);
  const auto changes = kubelet_->Allocate(k910B, {"npu-5", "npu-2"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_EQ(changes->environment.at("ASCEND_VISIBLE_DEVICES"), "2,5");
  EXPECT_TRUE(changes->device_nodes.empty());
  EXPECT_EQ(changes->mounts.size(), 2u) << "the library's and the socket's, in every mode";
}

class DaemonWithCdiTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    settings_.injection.mode = "cdi";
  }
  // What the kubelet keeps of earlier answers, as one text.
  void HaveCheckpoint(const std::string& entries) {
    std::ofstream(directory_.Path("dp/kubelet_internal_checkpoint"))
        << R"({"Data":{"PodDeviceEntries":)" << entries << "}}";
  }
  // An answer with the CDI device npu-ipc.io/npu=npu-3.
  static constexpr char kNamesNpu3[] = R"([{"AllocResp":"KhYKFG5wdS1pcGMuaW8vbnB1PW5wdS0z"}])";

  const std::string spec_ = directory_.Path("cdi/npu-ipc.io-npu.json");
};

TEST_F(DaemonWithCdiTest, AllocatesNamesOfTheSpecThatItWrote) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  const auto changes = kubelet_->Allocate(k910B, {"npu-2"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_EQ(changes->cdi_devices, std::vector<std::string>{"npu-ipc.io/npu=npu-2"});
  EXPECT_TRUE(changes->device_nodes.empty());
  EXPECT_EQ(changes->mounts.size(), 2u);
  EXPECT_THAT(ReadFile(spec_).value(), HasSubstr("/dev/davinci2"));
}

TEST_F(DaemonWithCdiTest, WritesASpecThatSomebodyRemoved) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  std::filesystem::remove(spec_);
  EXPECT_TRUE(WaitUntil([this] { return std::filesystem::exists(spec_); }));
}

TEST_F(DaemonWithCdiTest, OffersNothingUntilItsNamesMeanSomething) {
  std::ofstream(directory_.Path("cdi")) << "a file where the directory should be";
  StartDaemon();
  ASSERT_TRUE(kubelet_->WaitForDevices(k910B, [](const auto& d) { return d.size() == 8; }).ok());
  ExpectHealthy(k910B, 0);
  EXPECT_THAT(kubelet_->Allocate(k910B, {"npu-0"}).status().message(), HasSubstr("CDI spec"));
  std::filesystem::remove(directory_.Path("cdi"));
  ExpectHealthy(k910B, 8);
}

TEST_F(DaemonWithCdiTest, RemovesItsSpecAtTheEndWhereNoPodCanNameIt) {
  HaveCheckpoint("[]");
  StartDaemon();
  ExpectHealthy(k910B, 8);
  StopDaemon();
  EXPECT_FALSE(std::filesystem::exists(spec_));
}

TEST_F(DaemonWithCdiTest, LeavesItsSpecToThePodsThatNameIt) {
  HaveCheckpoint(kNamesNpu3);
  StartDaemon();
  ExpectHealthy(k910B, 8);
  StopDaemon();
  EXPECT_TRUE(std::filesystem::exists(spec_));
}

TEST_F(DaemonWithCdiTest, LeavesItsSpecWhereItCannotKnow) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  StopDaemon();
  EXPECT_TRUE(std::filesystem::exists(spec_)) << "the kubelet has no record";
}

TEST_F(DaemonWithCdiTest, LeavesItsSpecToWhatItHasJustAllocated) {
  HaveCheckpoint("[]");  // written after Allocate
  StartDaemon();
  ExpectHealthy(k910B, 8);
  ASSERT_TRUE(kubelet_->Allocate(k910B, {"npu-3"}).ok());
  StopDaemon();
  EXPECT_TRUE(std::filesystem::exists(spec_));
}

TEST_F(DaemonWithCdiTest, RemovesTheSpecOfAnEarlierModeOncePodsAreGone) {
  std::filesystem::create_directory(directory_.Path("cdi"));
  std::ofstream(spec_) << "{}";
  HaveCheckpoint(kNamesNpu3);
  settings_.injection.mode = "mounts";
  StartDaemon();
  ExpectHealthy(k910B, 8);
  EXPECT_TRUE(std::filesystem::exists(spec_));
  HaveCheckpoint("[]");
  EXPECT_TRUE(WaitUntil([this] { return !std::filesystem::exists(spec_); }));
}

TEST_F(DaemonWithCdiTest, RemovesLibrariesThatNoPodNames) {
  const std::string old = directory_.Path("store/0123456789abcdef");
  std::filesystem::create_directories(old);
  std::filesystem::last_write_time(
      old, std::filesystem::file_time_type::clock::now() - std::chrono::hours(24 * 30));
  StartDaemon();
  ExpectHealthy(k910B, 8);
  EXPECT_TRUE(std::filesystem::exists(old)) << "the kubelet has no record";
  HaveCheckpoint("[]");
  EXPECT_TRUE(WaitUntil([&] { return !std::filesystem::exists(old); }));
  const auto changes = kubelet_->Allocate(k910B, {"npu-0"});
  ASSERT_TRUE(changes.ok());
  EXPECT_TRUE(std::filesystem::exists(changes->mounts[0].host_path + "/libnpu_ipc.so"));
}

TEST_F(DaemonTest, LearnsWhoHoldsWhatItAllocated) {
  auto pod_resources = FakePodResources::Start(settings_.pod_resources.socket);
  ASSERT_TRUE(pod_resources.ok()) << pod_resources.status().message();
  StartDaemon();
  ExpectHealthy(k910B, 8);
  const kubelet::AllocationTracker& allocations = running_.load()->allocations();
  ASSERT_TRUE(kubelet_->Allocate(k910B, {"npu-2"}).ok());
  ASSERT_EQ(allocations.snapshot()->allocations.size(), 1u);
  EXPECT_EQ(allocations.snapshot()->allocations[0].container, std::nullopt);
  (*pod_resources)->Set({{{"team", "training", "main"}, k910B, {"npu-2"}}});
  ASSERT_TRUE(
      WaitUntil([&] { return allocations.snapshot()->allocations[0].container.has_value(); }));
  EXPECT_EQ(allocations.snapshot()->allocations[0].container->pod, "training");
}

TEST_F(DaemonTest, FollowsHealthInBothDirections) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  driver_->SetHealth(3, HealthLevel::kCritical);
  ExpectHealthy(k910B, 7);
  EXPECT_EQ(kubelet_->Devices(k910B).size(), 8u);
  driver_->SetHealth(3, HealthLevel::kOk);
  ExpectHealthy(k910B, 8);
  EXPECT_EQ(kubelet_->Registrations().size(), 1u) << "a change of health is no reason to register";
}

TEST_F(DaemonTest, LooksAtOnceWhenAFaultIsReported) {
  settings_.health.poll_interval = std::chrono::hours(1);
  StartDaemon();
  ExpectHealthy(k910B, 8);
  ASSERT_TRUE(driver_->WaitForSubscription());
  driver_->SetHealth(3, HealthLevel::kCritical, {0x80E18402});
  ASSERT_TRUE(driver_->ReportFault({.physical_id = 3, .code = 0x80E18402}));
  ExpectHealthy(k910B, 7);
}

TEST_F(DaemonTest, FollowsHealthWhereTheDriverReportsNoFaults) {
  driver_->SetSubscriptionStatus(Status(StatusCode::kUnimplemented, "no subscription"));
  StartDaemon();
  ExpectHealthy(k910B, 8);
  driver_->SetHealth(3, HealthLevel::kCritical);
  ExpectHealthy(k910B, 7);
}

TEST_F(DaemonTest, KeepsTheIdOfADeviceThatComesBackUnderAnotherLogicalId) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  driver_->RemoveDevice(2);
  ExpectHealthy(k910B, 7);
  std::vector<hal::Device> devices = FakeDeviceManager::Ascend910B(8);
  std::swap(devices[2].logical_id, devices[7].logical_id);
  driver_->SetDevices(devices);
  ExpectHealthy(k910B, 8);
  const auto changes = kubelet_->Allocate(k910B, {"npu-2"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_EQ(changes->device_nodes.back().host_path, "/dev/davinci2");
}

TEST_F(DaemonTest, SharesCardsOnceTheDriverAllowsIt) {
  settings_.replicas = 2;
  settings_.health.sharing.needed = true;
  StartDaemon();
  ExpectHealthy(k910B, 0);
  const auto advertised = [&] { return kubelet_->Devices(k910B).size(); };
  while (advertised() < 16) std::this_thread::yield();
  EXPECT_THAT(kubelet_->Allocate(k910B, {"npu-0::1"}).status().message(),
              HasSubstr("device-share is off"));
  ASSERT_TRUE(driver_->SetDeviceShare(0, true).ok());
  ExpectHealthy(k910B, 2);
  EXPECT_TRUE(kubelet_->Allocate(k910B, {"npu-0::1"}).ok());
}

TEST_F(DaemonTest, SwitchesDeviceShareOnWhenTheCardIsFree) {
  settings_.replicas = 3;
  settings_.health.sharing = {true, true};
  driver_->SetInUse(5, true);
  StartDaemon();
  ExpectHealthy(k910B, 21);
  EXPECT_THAT(kubelet_->Allocate(k910B, {"npu-5::0"}).status().message(), HasSubstr("in use"));
  driver_->SetInUse(5, false);
  ExpectHealthy(k910B, 24);
}

TEST_F(DaemonTest, SurvivesADriverThatHangs) {
  settings_.health.hang_timeout = std::chrono::milliseconds(50);
  StartDaemon();
  ExpectHealthy(k910B, 8);
  driver_->Hang(true);
  ExpectHealthy(k910B, 0);
  EXPECT_EQ(kubelet_->Allocate(k910B, {"npu-0"}).status().code(), StatusCode::kFailedPrecondition);
  driver_->Hang(false);
  ExpectHealthy(k910B, 8);
}

TEST_F(DaemonTest, AnswersAllocateWhileTheDriverIsBusy) {
  settings_.health.hang_timeout = std::chrono::hours(1);
  StartDaemon();
  ExpectHealthy(k910B, 8);
  driver_->Hang(true);
  ASSERT_TRUE(driver_->WaitForHungCalls(1));
  EXPECT_TRUE(kubelet_->Allocate(k910B, {"npu-0"}).ok());
  driver_->Hang(false);
}

TEST_F(DaemonTest, IdlesOnANodeWithoutDriverAndStartsWhenItComes) {
  driver_->FailWith(Status(StatusCode::kNotFound, "libdcmi.so: cannot open shared object file"));
  StartDaemon();
  const int calls = driver_->calls();
  while (driver_->calls() < calls + 3) std::this_thread::yield();
  EXPECT_EQ(kubelet_->RegisterCalls(), 0);
  driver_->FailWith(Status::Ok());
  ExpectHealthy(k910B, 8);
}

TEST_F(DaemonTest, RegistersAgainWithAKubeletThatRestarted) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  kubelet_.reset();
  StartKubelet();
  ExpectHealthy(k910B, 8);
  EXPECT_TRUE(kubelet_->Allocate(k910B, {"npu-0"}).ok());
}

TEST_F(DaemonTest, RemovesItsSocketsWhenItStops) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  const std::string socket = directory_.Path("dp/" + kubelet_->Registrations()[0].endpoint);
  EXPECT_TRUE(std::filesystem::exists(socket));
  StopDaemon();
  EXPECT_FALSE(std::filesystem::exists(socket));
  EXPECT_TRUE(Failure().ok());
}

TEST_F(DaemonTest, RefusesToServeBesideAnother) {
  StartDaemon();
  ExpectHealthy(k910B, 8);
  auto loop = EventLoop::Create();
  ASSERT_TRUE(loop.ok());
  auto second = Daemon::Create(**loop, settings_, OpenShared(driver_));
  ASSERT_TRUE(second.ok()) << second.status().message();
  (*loop)->Run();
  EXPECT_EQ((*second)->failure().code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(kubelet_->Allocate(k910B, {"npu-0"}).ok()) << "the first was disturbed";
}

TEST_F(DaemonTest, SaysWhatKeepsItFromStarting) {
  settings_.library.source = directory_.Path("nothing");
  StartDaemon();
  EXPECT_THAT(Failure().message(), HasSubstr(settings_.library.source));
}

}  // namespace
}  // namespace npu_ipc::device
