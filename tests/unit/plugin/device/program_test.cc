// npu-device-plugin as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "hal/base/process.h"
#include "tests/fakes/fake_kubelet.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kResource[] = "huawei.com/Ascend910B";

class DevicePluginProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(directory_.Path("lib"));
    std::ofstream(directory_.Path("lib/libnpu_ipc.so")) << "library";
    auto kubelet = FakeKubelet::Start(directory_.Path("dp"));
    ASSERT_TRUE(kubelet.ok()) << kubelet.status().message();
    kubelet_ = std::move(*kubelet);
  }

  ChildProcess Start(const std::string& dcmi_library, std::vector<std::string> more = {}) {
    ChildProcess::Options options;
    options.arguments = {NPU_DEVICE_PLUGIN,
                         "--dcmi-library=" + dcmi_library,
                         "--kubelet-device-plugin-directory=" + directory_.Path("dp"),
                         "--injection-library-source=" + directory_.Path("lib"),
                         "--injection-library-store=" + directory_.Path("store"),
                         "--injection-socket-directory=" + directory_.Path("run"),
                         "--device-view-socket=" + directory_.Path("private/view.sock"),
                         "--health-poll-interval=20ms"};
    options.arguments.insert(options.arguments.end(), more.begin(), more.end());
    options.error_file = directory_.Path("log");
    auto started = ChildProcess::Start(options);
    EXPECT_TRUE(started.ok()) << started.status().message();
    return std::move(*started);
  }
  std::string Log() const {
    const Result<std::string> text = ReadFile(directory_.Path("log"));
    return text.ok() ? *text : "";
  }
  static int ExitCode(ChildProcess& program) {
    const Result<int> code = program.Wait();
    EXPECT_TRUE(code.ok()) << code.status().message();
    return code.ok() ? *code : -1;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<FakeKubelet> kubelet_;
};

TEST_F(DevicePluginProgramTest, ServesWhatTheVendorLibraryShowsUntilItIsStopped) {
  ChildProcess program = Start(NPU_IPC_MINIMAL_DCMI);
  const Status served = kubelet_->WaitForHealthyDevices(kResource, 1);
  ASSERT_TRUE(served.ok()) << served.message() << "\n" << Log();
  program.Signal(SIGTERM);
  EXPECT_EQ(ExitCode(program), 0) << Log();
  EXPECT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 0).ok());
  for (const auto& entry : std::filesystem::directory_iterator(directory_.Path("dp"))) {
    EXPECT_TRUE(!entry.is_socket() || entry.path().filename() == "kubelet.sock") << entry.path();
  }
}

TEST_F(DevicePluginProgramTest, LooksAnewAtTheDriversFilesWhenTold) {
  const std::string driver = directory_.Path("driver");
  std::filesystem::create_directories(driver + "/lib64");
  ChildProcess program = Start(NPU_IPC_MINIMAL_DCMI, {"--driver-directory=" + driver});
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 1).ok()) << Log();
  const std::string id = kubelet_->Devices(kResource)[0].id;
  const auto gives_tools = [&] {
    const auto changes = kubelet_->Allocate(kResource, {id});
    EXPECT_TRUE(changes.ok()) << changes.status().message();
    for (const auto& mount : changes->mounts) {
      if (mount.host_path == driver + "/tools") return true;
    }
    return false;
  };
  std::filesystem::create_directories(driver + "/tools");
  EXPECT_FALSE(gives_tools()) << "Allocate has looked at the disk";
  program.Signal(SIGHUP);
  EXPECT_TRUE(WaitUntil(gives_tools)) << Log();
  program.Signal(SIGTERM);
  EXPECT_EQ(ExitCode(program), 0) << Log();
}

TEST_F(DevicePluginProgramTest, ReadsItsSettingsAgainWhenTold) {
  const auto write = [&](const std::string& text) {
    std::ofstream(directory_.Path("config.json")) << text;
  };
  const auto logs = [&](const std::string& text) {
    return WaitUntil([&] { return Log().find(text) != std::string::npos; });
  };
  write(R"({"nodes": {"node-a": {"sharing": {"replicas": 1}}}})");
  ChildProcess program = Start(
      NPU_IPC_MINIMAL_DCMI, {"--config=" + directory_.Path("config.json"), "--node-name=node-a"});
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 1).ok()) << Log();

  write(R"({"log": {"level": "bad"}, "sharing": {"replicas": 3}})");
  program.Signal(SIGHUP);
  EXPECT_TRUE(logs("the settings stay as they are")) << Log();
  EXPECT_THAT(Log(), HasSubstr("log.level"));
  EXPECT_EQ(kubelet_->Devices(kResource).size(), 1u);

  write(R"({"resources": {"ascend910b": "example.com/other"}, "log": {"format": "json"},
            "nodes": {"node-a": {"sharing": {"replicas": 3}, "log": {"level": "debug"}}}})");
  program.Signal(SIGHUP);
  EXPECT_TRUE(
      kubelet_->WaitForDevices(kResource, [](const auto& all) { return all.size() == 3; }).ok())
      << Log();
  EXPECT_TRUE(logs("setting changed: sharing.replicas: 1 -> 3")) << Log();
  EXPECT_TRUE(logs(R"(setting changed: log.level: "info" -> "debug")")) << Log();
  EXPECT_TRUE(logs("setting needs a restart, left as it was: resources.ascend910b")) << Log();
  EXPECT_TRUE(logs(R"(setting needs a restart, left as it was: log.format: "text" -> "json")"))
      << Log();
  EXPECT_TRUE(kubelet_->Devices("example.com/other").empty());

  std::filesystem::remove(directory_.Path("config.json"));
  program.Signal(SIGHUP);
  EXPECT_TRUE(logs("No such file")) << Log();
  program.Signal(SIGTERM);
  EXPECT_EQ(ExitCode(program), 0) << Log();
}

TEST_F(DevicePluginProgramTest, IdlesUntilTheDriverArrives) {
  const std::string library = directory_.Path("libdcmi.so");
  ChildProcess program = Start(library);
  EXPECT_TRUE(WaitUntil([&] { return Log().find("no devices, idling") != std::string::npos; }));
  EXPECT_THAT(Log(), HasSubstr(library)) << "does not say what is missing";
  EXPECT_TRUE(program.Running());
  std::filesystem::copy_file(NPU_IPC_MINIMAL_DCMI, library + ".new");
  std::filesystem::rename(library + ".new", library);
  EXPECT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 1).ok()) << Log();
  EXPECT_TRUE(program.Running());
  program.Signal(SIGTERM);
  EXPECT_EQ(ExitCode(program), 0) << Log();
}

TEST_F(DevicePluginProgramTest, KnowsItsDevicesAgainAfterItWasKilled) {
  ChildProcess program = Start(NPU_IPC_MINIMAL_DCMI);
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 1).ok()) << Log();
  const std::string id = kubelet_->Devices(kResource)[0].id;
  program.Signal(SIGKILL);
  EXPECT_EQ(ExitCode(program), 128 + SIGKILL);
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 0).ok());

  ChildProcess successor = Start(NPU_IPC_MINIMAL_DCMI);
  ASSERT_TRUE(kubelet_->WaitForHealthyDevices(kResource, 1).ok()) << Log();
  EXPECT_EQ(kubelet_->Devices(kResource)[0].id, id);
  EXPECT_TRUE(kubelet_->Allocate(kResource, {id}).ok());
}

TEST_F(DevicePluginProgramTest, IdlesWithTheReasonWhereThereIsNoDriver) {
  for (const char* library :
       {"libno-such-dcmi.so", NPU_IPC_UNREADY_DCMI, NPU_IPC_INCOMPLETE_DCMI}) {
    std::filesystem::remove(directory_.Path("log"));
    ChildProcess program = Start(library);
    EXPECT_TRUE(WaitUntil([&] { return Log().find("idling") != std::string::npos; })) << Log();
    EXPECT_TRUE(program.Running());
    program.Signal(SIGTERM);
    EXPECT_EQ(ExitCode(program), 0) << Log();
    EXPECT_EQ(kubelet_->RegisterCalls(), 0);
  }
}

TEST_F(DevicePluginProgramTest, SaysWhatIsWrongWithItsSettings) {
  ChildProcess unknown = Start(NPU_IPC_MINIMAL_DCMI, {"--no-such-flag=1"});
  EXPECT_EQ(ExitCode(unknown), 1);
  EXPECT_THAT(Log(), HasSubstr("no-such-flag"));
  ChildProcess name = Start(NPU_IPC_MINIMAL_DCMI, {"--resources-ascend910b=nothing"});
  EXPECT_EQ(ExitCode(name), 1);
  EXPECT_THAT(Log(), AllOf(HasSubstr("resources.ascend910b"), HasSubstr("nothing")));
  EXPECT_EQ(kubelet_->RegisterCalls(), 0);
}

TEST_F(DevicePluginProgramTest, PrintsWhatItWouldOffer) {
  ChildProcess program = Start(NPU_IPC_MINIMAL_DCMI, {"--dry-run"});
  EXPECT_TRUE(program.ReadLineStartingWith("resource huawei.com/Ascend910B: 1 devices").ok());
  EXPECT_EQ(ExitCode(program), 0);
  EXPECT_EQ(kubelet_->RegisterCalls(), 0);
  EXPECT_FALSE(std::filesystem::exists(directory_.Path("store")));
}

TEST_F(DevicePluginProgramTest, ExplainsItself) {
  ChildProcess program = Start(NPU_IPC_MINIMAL_DCMI, {"--help"});
  EXPECT_TRUE(program.ReadLineStartingWith("Usage: npu-device-plugin").ok());
  EXPECT_EQ(ExitCode(program), 0);
}

}  // namespace
}  // namespace npu_ipc
