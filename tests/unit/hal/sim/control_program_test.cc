// npu-sim-control against a running driver, and what libdcmi says then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <future>
#include <mutex>

#include <nlohmann/json.hpp>

#include "hal/base/process.h"
#include "hal/sim/driver/protocol.h"
#include "npu_ipc/hal/device_manager.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/node_box.h"
#include "tests/fixtures/simulated_node.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc::sim {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class ControlProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<SimulatedNode>> node = SimulatedNode::Start("910b", directory_.path());
    ASSERT_TRUE(node.ok()) << node.status().message();
    node_ = std::move(*node);
    auto manager = hal::OpenDcmi(node_->library_directory() + "/libdcmi.so");
    ASSERT_TRUE(manager.ok()) << manager.status().message();
    manager_ = std::move(*manager);
  }
  void TearDown() override {
    if (node_ == nullptr) return;
    node_->driver().Signal(SIGTERM);
    EXPECT_EQ(node_->driver().Wait().value(), 0);
  }

  std::string Socket() const { return node_->library_directory() + "/" + kControlSocketFileName; }
  // Runs the program, `before` it a wrapper; returns its exit code, and its output in files.
  int RunProgram(const std::vector<std::string>& arguments,
                 const std::vector<std::string>& before = {}) {
    ChildProcess::Options options;
    options.arguments = before;
    options.arguments.push_back("sh");
    options.arguments.push_back("-c");
    options.arguments.push_back("exec \"$@\" >" + Output());
    options.arguments.push_back("sh");
    options.arguments.push_back(ThisBuild().programs + "/npu-sim-control");
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    options.arguments.insert(options.arguments.end(), {"--socket", Socket()});
    options.error_file = directory_.Path("stderr");
    Result<ChildProcess> program = ChildProcess::Start(options);
    if (!program.ok()) return -1;
    return program->Wait().value();
  }
  void Control(const std::vector<std::string>& arguments) {
    ASSERT_EQ(RunProgram(arguments), 0) << ReadFile(directory_.Path("stderr")).value();
  }
  std::string Output() const { return directory_.Path("stdout"); }

  TemporaryDirectory directory_;
  std::unique_ptr<SimulatedNode> node_;
  std::unique_ptr<hal::DeviceManager> manager_;
};

TEST_F(ControlProgramTest, DcmiSaysWhatWasSet) {
  Control({"set", "-d", "2", "--health", "critical", "--temperature", "88", "--utilization", "64",
           "--memory-bandwidth", "12", "--extra-memory", "1073741824"});
  EXPECT_EQ(manager_->Health(2)->level, hal::HealthLevel::kCritical);
  const Result<hal::DeviceUsage> usage = manager_->Usage(2);
  ASSERT_TRUE(usage.ok());
  EXPECT_EQ(usage->temperature_celsius, 88);
  EXPECT_EQ(usage->ai_core_percent, 64U);
  EXPECT_EQ(usage->memory_bandwidth_percent, 12U);
  EXPECT_EQ(usage->memory_used_bytes, 1U << 30);
  Control({"set", "-d", "2", "--health", "auto"});
  EXPECT_EQ(manager_->Health(2)->level, hal::HealthLevel::kOk);

  Control({"show", "-o", "json"});
  const json state = json::parse(ReadFile(Output()).value());
  EXPECT_EQ(state["devices"][2]["temperature"], 88);
  Control({"show"});
  EXPECT_THAT(ReadFile(Output()).value(), HasSubstr("health"));
}

TEST_F(ControlProgramTest, FaultsReachASubscriberBothWays) {
  std::mutex mutex;
  std::vector<hal::DeviceFault> faults;
  const auto heard = [&](size_t count) {
    return WaitUntil([&] {
      std::lock_guard<std::mutex> lock(mutex);
      return faults.size() >= count;
    });
  };
  ASSERT_TRUE(manager_->Devices().ok());
  const Status subscribed = manager_->SubscribeFaults([&](const hal::DeviceFault& fault) {
    std::lock_guard<std::mutex> lock(mutex);
    faults.push_back(fault);
  });
  ASSERT_TRUE(subscribed.ok()) << subscribed.message();
  Control({"inject", "-d", "5", "--code", "0x80e18005", "--severity", "major", "--name", "HBM"});
  ASSERT_TRUE(heard(1));
  EXPECT_EQ(faults[0].physical_id, 5U);
  EXPECT_EQ(faults[0].code, 0x80e18005U);
  EXPECT_EQ(faults[0].severity, hal::FaultSeverity::kMajor);
  EXPECT_EQ(faults[0].change, hal::FaultChange::kRaised);
  EXPECT_EQ(faults[0].description, "deviceid=5, HBM");
  EXPECT_EQ(manager_->Health(5)->level, hal::HealthLevel::kMajor);
  EXPECT_THAT(manager_->Health(5)->fault_codes, ::testing::ElementsAre(0x80e18005U));
  Control({"clear", "-d", "5"});
  ASSERT_TRUE(heard(2));
  EXPECT_EQ(faults[1].change, hal::FaultChange::kCleared);
  EXPECT_EQ(manager_->Health(5)->level, hal::HealthLevel::kOk);
  Control({"report", "-d", "0", "--code", "0x1", "--severity", "notice"});
  ASSERT_TRUE(heard(3));
  EXPECT_EQ(faults[2].change, hal::FaultChange::kOccurred);
  manager_.reset();  // before what its handler uses
}

TEST_F(ControlProgramTest, ADeviceVanishesAndComesBackUnderAnotherLogicalId) {
  Control({"remove", "-d", "1"});
  Result<hal::DeviceInventory> inventory = manager_->Devices();
  ASSERT_TRUE(inventory.ok());
  ASSERT_EQ(inventory->devices.size(), 7U);
  EXPECT_EQ(inventory->devices[1].physical_id, 2U);
  EXPECT_EQ(inventory->devices[1].logical_id, 1U);
  EXPECT_EQ(manager_->Health(1).status().code(), StatusCode::kNotFound);
  Control({"restore", "-d", "1", "--logical-id", "7"});
  inventory = manager_->Devices();
  ASSERT_TRUE(inventory.ok());
  ASSERT_EQ(inventory->devices.size(), 8U);
  EXPECT_EQ(inventory->devices[1].physical_id, 1U);
  EXPECT_EQ(inventory->devices[1].logical_id, 7U);
  EXPECT_TRUE(manager_->Health(1).ok());
}

TEST_F(ControlProgramTest, DcmiFailsAndHangsUntilItIsTold) {
  ASSERT_TRUE(manager_->Devices().ok());
  Control({"dcmi", "-d", "3", "--code", "-8012"});
  EXPECT_EQ(manager_->Health(3).status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(manager_->Health(4).ok());
  Control({"dcmi", "-d", "3", "--code", "0"});
  EXPECT_TRUE(manager_->Health(3).ok());

  Control({"dcmi", "--hang", "1"});
  std::future<bool> answered =
      std::async(std::launch::async, [&] { return manager_->Health(3).ok(); });
  Control({"show", "-o", "json"});
  EXPECT_TRUE(json::parse(ReadFile(Output()).value())["dcmi"]["hang"].get<bool>());
  EXPECT_EQ(answered.wait_for(std::chrono::milliseconds(0)), std::future_status::timeout);
  Control({"dcmi", "--hang", "0"});
  EXPECT_TRUE(answered.get());
}

TEST_F(ControlProgramTest, ControlIsForRootOnTheHost) {
  struct stat socket = {};
  ASSERT_EQ(::stat(Socket().c_str(), &socket), 0);
  EXPECT_EQ(socket.st_mode & 07777, 0600U);
  EXPECT_EQ(RunProgram({"show"}, {"unshare", "--mount"}), 1);
  EXPECT_THAT(ReadFile(directory_.Path("stderr")).value(), HasSubstr("host's mount namespace"));
}

TEST_F(ControlProgramTest, MistakesAreToldApart) {
  EXPECT_EQ(RunProgram({"set", "-d", "99", "--health", "ok"}), 1);
  EXPECT_THAT(ReadFile(directory_.Path("stderr")).value(), HasSubstr("from 0 to 7"));
  EXPECT_NE(RunProgram({"set"}), 0);
  EXPECT_THAT(ReadFile(directory_.Path("stderr")).value(), HasSubstr("--device"));
  EXPECT_EQ(RunProgram({"--help"}), 0);
  EXPECT_THAT(ReadFile(Output()).value(), HasSubstr("restore"));
}

}  // namespace
}  // namespace npu_ipc::sim

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return npu_ipc::RunInNodeBox([] { return RUN_ALL_TESTS(); });
}
