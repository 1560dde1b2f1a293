// The device plugin while the driver's management library hangs, restarts or reports faults, and
// while the kubelet is in trouble at the same time.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "hal/base/clock.h"
#include "hal/base/process.h"
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++count;
  return count;
}

class DriverFaults : public NodeTest {
 protected:
  std::vector<std::string> PluginFlags() const override { return {"--health-poll-interval=20ms"}; }

  void ControlDriver(const std::vector<std::string>& arguments) {
    const Status done = node().ControlDriver(arguments);
    ASSERT_TRUE(done.ok()) << done.message();
  }
  void EndDriver() {
    node().driver().Signal(SIGKILL);
    const Result<int> ended = node().driver().Wait();
    ASSERT_TRUE(ended.ok()) << ended.status().message();
  }
  void StartDriver() {
    const Status started = node().StartDriver();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  testing::AssertionResult BecomeHealthy(size_t count) {
    const Status waited = node().WaitForHealthyDevices(count);
    return waited.ok() ? testing::AssertionSuccess()
                       : testing::AssertionFailure() << waited.message();
  }
  std::string Log() { return node().Log("device-plugin"); }
  testing::AssertionResult Logs(const std::string& text) {
    if (WaitUntil([&] { return Log().find(text) != std::string::npos; })) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "no '" << text << "' in " << Log();
  }
  Status AllocateFirst() { return node().Allocate({"npu-0"}).status(); }
  nlohmann::json Registrations() {
    const auto answer = node().AskKubelet("registrations");
    EXPECT_TRUE(answer.ok()) << answer.status().message();
    return answer.ok() ? *answer : nlohmann::json{{"calls", 0}, {"registrations", {}}};
  }
  // Successful ones, `times` at the least.
  testing::AssertionResult AreRegistered(size_t times) {
    if (WaitUntil([&] { return Registrations()["registrations"].size() >= times; })) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << Registrations().dump();
  }
  // It has to be served and registered again then.
  void RemovePluginSocket() {
    const std::string endpoint = Registrations()["registrations"].back()["endpoint"];
    ASSERT_TRUE(std::filesystem::remove(node().device_plugin_directory() + "/" + endpoint));
  }
};

TEST_F(DriverFaults, DevicesComeBackWithADriverThatRestarts) {
  for (int round = 0; round < 2; ++round) {
    EndDriver();
    ASSERT_TRUE(BecomeHealthy(0));
    EXPECT_THAT(AllocateFirst().message(), AllOf(HasSubstr("npu-0"), HasSubstr("unhealthy")));
    StartDriver();
    ASSERT_TRUE(BecomeHealthy(8));
    EXPECT_TRUE(AllocateFirst().ok());
  }
  EXPECT_TRUE(node().device_plugin().Running());
  EXPECT_EQ(Registrations()["calls"], 1) << "a change of health is no reason to register";
  EXPECT_EQ(Count(Log(), "device health changed"), 2U * 2 * 8) << Log();
  RemoteParty party = StartMember("after", "weights", 0);
  EXPECT_THAT(party.Do("malloc mine 4194304"), IsOk());
}

TEST_F(DriverFaults, HearsOfFaultsFromADriverThatRestarted) {
  EndDriver();
  ASSERT_TRUE(BecomeHealthy(0));
  StartDriver();
  ASSERT_TRUE(BecomeHealthy(8));
  // The vendor's library asks for faults again in its own time.
  ASSERT_TRUE(WaitUntil([this] {
    ControlDriver({"report", "-d", "3", "--code", "0x1", "--severity", "notice"});
    return Log().find("fault reported: id=npu-3 code=0x1") != std::string::npos;
  })) << Log();
}

TEST_F(DriverFaults, ADeviceKeepsItsIdUnderAnotherLogicalId) {
  ControlDriver({"remove", "-d", "2"});
  ASSERT_TRUE(BecomeHealthy(7));
  EXPECT_THAT(node().Allocate({"npu-2"}).status().message(), HasSubstr("no longer lists it"));
  ControlDriver({"restore", "-d", "2", "--logical-id", "7"});
  ASSERT_TRUE(BecomeHealthy(8));
  const auto allocation = node().Allocate({"npu-2"});
  ASSERT_TRUE(allocation.ok()) << allocation.status().message();
  EXPECT_THAT(RunShell(*allocation, "ls -d /dev/davinci[0-9]*"),
              testing::ElementsAre("/dev/davinci2"));
}

// What a loop that spins would use up.
TEST_F(DriverFaults, RestsWhileTheDriverIsAway) {
  EndDriver();
  ASSERT_TRUE(BecomeHealthy(0));
  const std::string stat = "/proc/" + std::to_string(node().device_plugin().pid()) + "/stat";
  const auto used = [&] {
    // utime and stime, the 14th and 15th, the second being "(name)".
    const std::string text = ReadFile(stat).value();
    unsigned long user = 0, system = 0;
    EXPECT_EQ(::sscanf(text.c_str() + text.rfind(')'),
                       ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
              2);
    return milliseconds((user + system) * 1000 / static_cast<unsigned long>(sysconf(_SC_CLK_TCK)));
  };
  const size_t lines = Count(Log(), "\n");
  const milliseconds used_before = used();
  EXPECT_FALSE(
      WaitUntil([&] { return used() - used_before >= milliseconds(500); }, milliseconds(1000)));
  EXPECT_TRUE(node().device_plugin().Running());
  EXPECT_LE(Count(Log(), "\n"), lines + 2) << Log();
}

// As long as the devices were seen well a moment ago, and when they no longer count as healthy: the
// kubelet gets its answers either way.
class DriverThatHangs : public DriverFaults, public testing::WithParamInterface<const char*> {
 protected:
  std::vector<std::string> PluginFlags() const override {
    return {"--health-poll-interval=20ms", std::string("--health-hang-timeout=") + GetParam()};
  }
  size_t Healthy() const { return GetParam() == std::string("1h") ? 8 : 0; }

  void SetUp() override {
    DriverFaults::SetUp();
    ControlDriver({"dcmi", "--hang", "1"});
    // After the next look has begun, and does not end.
    ControlDriver({"report", "-d", "3", "--code", "0x1", "--severity", "notice"});
    ASSERT_TRUE(Logs("fault reported: id=npu-3"));
    ASSERT_TRUE(BecomeHealthy(Healthy()));
  }
  // The driver still hangs, and Allocate answers at once what it must.
  void ExpectAnswers() {
    const Status allocated = AllocateFirst();
    if (Healthy() == 8) {
      EXPECT_TRUE(allocated.ok()) << allocated.message();
    } else {
      EXPECT_THAT(allocated.message(), HasSubstr("the driver has not answered"));
    }
  }
  // The plugin registers again, and gets no answer.
  void HangRegistration() {
    const int calls = Registrations()["calls"];
    ASSERT_TRUE(node().AskKubelet("hang on").ok());
    RemovePluginSocket();
    ASSERT_TRUE(WaitUntil([&] { return Registrations()["calls"] > calls; }));
  }
  // It was a hang all the time, and the stream of devices is the kubelet's last.
  void ExpectRecovery() {
    ControlDriver({"set", "-d", "3", "--health", "critical"});
    ControlDriver({"dcmi", "--hang", "0"});
    EXPECT_TRUE(BecomeHealthy(7));
    ControlDriver({"set", "-d", "3", "--health", "auto"});
    EXPECT_TRUE(BecomeHealthy(8));
    EXPECT_TRUE(AllocateFirst().ok());
  }
};

INSTANTIATE_TEST_SUITE_P(HangTimeout, DriverThatHangs, testing::Values("1h", "2s"));

TEST_P(DriverThatHangs, DoesNotKeepAKubeletThatRestartsWaiting) {
  const Status restarted = node().RestartKubelet(Healthy());
  ASSERT_TRUE(restarted.ok()) << restarted.message();
  EXPECT_TRUE(AreRegistered(1));
  ExpectAnswers();
  ExpectRecovery();
}

TEST_P(DriverThatHangs, DoesNotKeepTheSocketAway) {
  RemovePluginSocket();
  ASSERT_TRUE(AreRegistered(2));
  ASSERT_TRUE(BecomeHealthy(Healthy()));
  ExpectAnswers();
  ExpectRecovery();
}

TEST_P(DriverThatHangs, GoesOnBesideARegistrationThatHangsToo) {
  HangRegistration();
  EXPECT_TRUE(node().device_plugin().Running());
  ASSERT_TRUE(node().AskKubelet("hang off").ok());
  ASSERT_TRUE(AreRegistered(2));
  ASSERT_TRUE(BecomeHealthy(Healthy()));
  ExpectAnswers();

  HangRegistration();
  const Status restarted = node().RestartKubelet(Healthy());
  ASSERT_TRUE(restarted.ok()) << restarted.message();
  ExpectAnswers();
  ExpectRecovery();
}

TEST_P(DriverThatHangs, RegistersOnceAKubeletNoLongerRefuses) {
  ASSERT_TRUE(node().AskKubelet("refuse not now").ok());
  RemovePluginSocket();
  EXPECT_TRUE(Logs("not now"));
  ASSERT_TRUE(node().AskKubelet("refuse").ok());
  ASSERT_TRUE(AreRegistered(2));
  ASSERT_TRUE(BecomeHealthy(Healthy()));
  ExpectAnswers();
  ExpectRecovery();
}

TEST_P(DriverThatHangs, GoesOnWithADriverThatRestarts) {
  ExpectAnswers();
  EndDriver();
  StartDriver();
  ASSERT_TRUE(BecomeHealthy(8));
  EXPECT_TRUE(AllocateFirst().ok());
  ControlDriver({"set", "-d", "3", "--health", "critical"});
  EXPECT_TRUE(BecomeHealthy(7)) << "the call that hung has not come back";
}

TEST_P(DriverThatHangs, DoesNotKeepThePluginFromStopping) {
  node().device_plugin().Signal(SIGTERM);
  const Result<int> ended = node().device_plugin().Wait();
  ASSERT_TRUE(ended.ok()) << ended.status().message();
  EXPECT_EQ(*ended, 0) << Log();
}

class DegradedDevice : public DriverFaults {
 protected:
  std::vector<std::string> PluginFlags() const override {
    std::vector<std::string> flags = DriverFaults::PluginFlags();
    const std::string table = "/run/fault-codes.json";  // the node box's own /run
    std::ofstream(table) << R"({"codes": {"0x80e18005": "degraded"}})";
    flags.push_back("--health-fault-table=" + table);
    return flags;
  }
};

TEST_F(DegradedDevice, IsLoggedCountedAndGivenToContainers) {
  ControlDriver({"inject", "-d", "5", "--code", "0x80e18005", "--severity", "critical"});
  EXPECT_TRUE(Logs("fault reported: id=npu-5 code=0x80e18005 severity=critical"));
  EXPECT_TRUE(
      Logs("warning npu-device-plugin: device is degraded, containers still get it: "
           "id=npu-5 faults=0x80e18005"));
  EXPECT_TRUE(MetricBecomes("npu_ipc_device_faults{device=\"npu-5\"}", 1));
  EXPECT_EQ(Metric("npu_ipc_device_healthy{device=\"npu-5\"}"), 1);
  EXPECT_TRUE(node().Allocate({"npu-5"}).ok());
  EXPECT_TRUE(BecomeHealthy(8));

  ControlDriver({"clear", "-d", "5"});
  EXPECT_TRUE(Logs("device is no longer degraded: id=npu-5"));
  EXPECT_TRUE(MetricBecomes("npu_ipc_device_faults{device=\"npu-5\"}", 0));
  EXPECT_EQ(Metric("npu_ipc_device_health_changes_total{device=\"npu-5\"}"), 0);
  EXPECT_EQ(Count(Log(), "device health changed"), 0U) << Log();
}

}  // namespace
}  // namespace npu_ipc
