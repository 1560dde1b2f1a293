// What the daemon tells of the node, as the broker's client gets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "plugin/device_view/device_view_client.h"
#include "tests/unit/plugin/device/daemon_fixture.h"

namespace npu_ipc::device {
namespace {

using device_view::DeviceViewClient;
using device_view::NodeState;
using device_view::Reachability;
using hal::FakeDeviceManager;
using hal::HealthLevel;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kResource[] = "huawei.com/Ascend910B";

class DaemonViewTest : public DaemonFixture {
 protected:
  void SetUp() override {
    settings_.device_view_socket = directory_.Path("private/view.sock");
    DaemonFixture::SetUp();
  }
  void TearDown() override {
    client_.reset();
    DaemonFixture::TearDown();
  }

  void StartDaemon() {
    DaemonFixture::StartDaemon();
    Connect();
  }
  void Connect() {
    client_ = std::make_unique<DeviceViewClient>(
        device_view::ClientSettings{settings_.device_view_socket, milliseconds(5), milliseconds(5)},
        [this](const device_view::View& view) {
          const std::lock_guard lock(mutex_);
          view_ = view;
          changed_.notify_all();
        });
  }
  // The first state that is as `wanted` says.
  std::shared_ptr<const NodeState> WaitFor(const std::function<bool(const NodeState&)>& wanted) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return view_.connected && view_.state != nullptr && wanted(*view_.state);
    })) << "the state did not come";
    return view_.state != nullptr ? view_.state : std::make_shared<const NodeState>();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  device_view::View view_;  // guarded by mutex_
  std::unique_ptr<DeviceViewClient> client_;
};

TEST_F(DaemonViewTest, TellsOfDevicesAndHowTheyReachEachOther) {
  hal::DeviceUsage usage;
  usage.temperature_celsius = 47;
  driver_->SetUsage(3, usage);
  StartDaemon();
  const auto state = WaitFor([](const NodeState& s) { return s.devices.size() == 8; });
  const auto& device = state->devices.at("npu-3");
  EXPECT_EQ(device.resource, kResource);
  EXPECT_EQ(device.hardware, FakeDeviceManager::Ascend910B(8)[3]);
  EXPECT_TRUE(device.health.healthy);
  EXPECT_EQ(device.health.level, HealthLevel::kOk);
  EXPECT_EQ(state->usage.at("npu-3").temperature_celsius, 47);
  EXPECT_EQ(state->facts.problem, "");
  EXPECT_EQ(state->facts.driver_version, driver_->DriverVersion().value());
  EXPECT_EQ(state->links.size(), 28u) << "8 devices make 28 pairs";
  EXPECT_EQ(ReachBetween(state.get(), 7, 2).answer, Reachability::kYes);
}

TEST_F(DaemonViewTest, TellsOfFaultsAndRecovery) {
  StartDaemon();
  WaitFor([](const NodeState& s) { return s.devices.size() == 8; });
  driver_->SetHealth(5, HealthLevel::kCritical, {0x80C98009});
  WaitFor([](const NodeState& s) { return !s.devices.at("npu-5").health.healthy; });
  driver_->SetHealth(5, HealthLevel::kOk);
  const auto state =
      WaitFor([](const NodeState& s) { return s.devices.at("npu-5").health.healthy; });
  const auto& device = state->devices.at("npu-5");
  EXPECT_EQ(device.health_changes, 2u);
  ASSERT_GE(device.health_history.size(), 3u);
  EXPECT_EQ(device.health_history[1].level, HealthLevel::kCritical);
  EXPECT_THAT(device.health_history[1].fault_codes, ElementsAre(0x80C98009));
  EXPECT_THAT(device.health_history[1].reason, HasSubstr("80c98009"));
}

TEST_F(DaemonViewTest, TellsOfADeviceThatHasVanished) {
  StartDaemon();
  WaitFor([](const NodeState& s) { return s.devices.size() == 8; });
  driver_->RemoveDevice(2);
  const auto state =
      WaitFor([](const NodeState& s) { return !s.devices.at("npu-2").health.healthy; });
  EXPECT_EQ(state->devices.at("npu-2").health.level, HealthLevel::kAbsent);
}

TEST_F(DaemonViewTest, TellsWhyThereAreNoDevices) {
  driver_->FailWith({StatusCode::kNotFound, "libdcmi.so is not on this node"});
  StartDaemon();
  const auto state = WaitFor([](const NodeState& s) { return !s.facts.problem.empty(); });
  EXPECT_THAT(state->facts.problem, HasSubstr("libdcmi.so is not on this node"));
  EXPECT_FALSE(state->facts.last_look.has_value());
  driver_->SetDevices({});
  driver_->FailWith(Status::Ok());
  const auto empty = WaitFor([](const NodeState& s) { return s.facts.last_look.has_value(); });
  EXPECT_THAT(empty->facts.problem, HasSubstr("no NPU"));
}

TEST_F(DaemonViewTest, TellsOfAllocationsAndRegistrations) {
  StartDaemon();
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 8).ok());
  ASSERT_TRUE(kubelet_->Allocate(kResource, {"npu-4", "npu-1"}).ok());
  ASSERT_FALSE(kubelet_->Allocate(kResource, {"npu-9"}).ok());
  const auto state = WaitFor([](const NodeState& s) {
    const auto found = s.resources.find(kResource);
    return found != s.resources.end() && found->second.allocate_failures == 1 &&
           found->second.registrations == 1 && !s.allocations.empty();
  });
  ASSERT_EQ(state->allocations.size(), 1u);
  EXPECT_THAT(state->allocations.begin()->second.device_ids, ElementsAre("npu-1", "npu-4"));
  uint64_t calls = 0;
  for (const uint64_t count : state->resources.at(kResource).allocate.counts) calls += count;
  EXPECT_EQ(calls, 2u);
}

TEST_F(DaemonViewTest, TellsWhichCardsAreHeldWhereTheyAreShared) {
  settings_.replicas = 3;
  settings_.health.sharing = {true, true};
  StartDaemon();
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 24).ok());
  ASSERT_TRUE(kubelet_->Allocate(kResource, {"npu-4::0", "npu-4::2", "npu-1::1"}).ok());
  const auto state = WaitFor([](const NodeState& s) { return !s.allocations.empty(); });
  EXPECT_THAT(state->allocations.begin()->second.device_ids, ElementsAre("npu-1", "npu-4"));
  EXPECT_EQ(state->devices.at("npu-4").device_share, true);
}

TEST_F(DaemonViewTest, TellsOfCardsThatTheDriverDoesNotShare) {
  settings_.replicas = 2;
  settings_.health.sharing = {true, false};
  StartDaemon();
  const auto state = WaitFor([](const NodeState& s) { return s.devices.size() == 8; });
  EXPECT_EQ(state->devices.at("npu-4").device_share, false);
  EXPECT_FALSE(state->devices.at("npu-4").health.healthy);
  EXPECT_THAT(state->devices.at("npu-4").health.reason, HasSubstr("npu-smi set -t device-share"));
}

TEST_F(DaemonViewTest, SaysNothingOfSharingWhereItWasNotAsked) {
  StartDaemon();
  const auto state = WaitFor([](const NodeState& s) { return s.devices.size() == 8; });
  EXPECT_EQ(state->devices.at("npu-4").device_share, std::nullopt);
}

TEST_F(DaemonViewTest, TellsWhyItIsNotKnownWhoHoldsWhat) {
  StartDaemon();
  const auto state =
      WaitFor([](const NodeState& s) { return !s.facts.allocations_problem.empty(); });
  EXPECT_THAT(state->facts.allocations_problem, HasSubstr("pod-resources.sock"));
}

TEST_F(DaemonViewTest, TellsOfDevicesThatAreHeldBack) {
  settings_.injection.mode = "cdi";
  settings_.injection.cdi_directory = directory_.Path("cdi");
  settings_.injection.upkeep_interval = milliseconds(20);
  std::ofstream(directory_.Path("cdi")) << "a file where the directory should be";
  StartDaemon();
  const auto held = WaitFor([](const NodeState& s) { return s.devices.size() == 8; });
  EXPECT_FALSE(held->devices.at("npu-4").health.healthy);
  EXPECT_THAT(held->devices.at("npu-4").health.reason, HasSubstr("CDI"));
  std::filesystem::remove(directory_.Path("cdi"));
  WaitFor([](const NodeState& s) { return s.devices.at("npu-4").health.healthy; });
}

TEST_F(DaemonViewTest, KeepsFaultsThatLeaveADeviceUsable) {
  settings_.health.faults = FaultTable::Parse(R"({"codes": {"0x2": "degraded"}})").value();
  StartDaemon();
  WaitFor([](const NodeState& s) { return s.devices.size() == 8; });
  driver_->SetHealth(5, HealthLevel::kMinor, {0x2});
  const auto state =
      WaitFor([](const NodeState& s) { return !s.devices.at("npu-5").health.fault_codes.empty(); });
  const auto& device = state->devices.at("npu-5");
  EXPECT_TRUE(device.health.healthy);
  EXPECT_THAT(device.health_history.back().fault_codes, ElementsAre(0x2u));
}

TEST_F(DaemonViewTest, ServesAgainWhereTheSocketWasRemoved) {
  StartDaemon();
  WaitFor([](const NodeState&) { return true; });
  client_.reset();
  {
    const std::lock_guard lock(mutex_);
    view_ = {};
  }
  std::filesystem::remove(settings_.device_view_socket);
  Connect();
  EXPECT_EQ(WaitFor([](const NodeState& s) { return s.devices.size() == 8; })->devices.size(), 8u);
}

TEST_F(DaemonViewTest, DoesItsWorkWithoutTheView) {
  settings_.device_view_socket = directory_.Path("no/such/directory/view.sock");
  StartDaemon();
  const Status served = kubelet_->WaitForHealthyDevices(kResource, 8);
  EXPECT_TRUE(served.ok()) << served.message();
}

}  // namespace
}  // namespace npu_ipc::device
