// npu-sim-driver as a process, and callers as processes: what only the kernel can tell.
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "hal/base/process.h"
#include "hal/sim/driver/protocol.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/node_box.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/hal/sim/remote_process.h"

namespace npu_ipc::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Place = RemoteProcess::Place;

std::string DaemonPath() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().string() +
         "/bin/npu-sim-driver";
}

// Whether the word is `expected`, now or soon.
bool BecomesValid(const volatile uint32_t* word, bool expected) {
  return WaitUntil([=] { return (*word == 1) == expected; });
}

class DriverDaemonTest : public ::testing::Test {
 protected:
  DriverDaemonTest() {
    std::filesystem::create_directory(Library());
    std::filesystem::create_directory(Audit());
    ::chmod(directory_.path().c_str(), 0755);  // for callers that are not root
  }
  ~DriverDaemonTest() override {
    Stop();
    // What a daemon that was killed left behind must not be the next case's.
    for (const std::string& name : DeviceNodes()) std::filesystem::remove("/dev/" + name);
  }

  static std::vector<std::string> DeviceNodes() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/dev")) {
      const std::string name = entry.path().filename().string();
      if (name.rfind("davinci", 0) == 0 || name == "devmm_svm" || name == "hisi_hdc") {
        names.push_back(name);
      }
    }
    return names;
  }

  std::string Library() const { return directory_.Path("lib"); }
  std::string Audit() const { return directory_.Path("audit"); }
  std::string Socket() const { return Library() + "/" + kSocketFileName; }
  std::string Log() const {
    const Result<std::string> text = ReadFile(directory_.Path("stderr"));
    return text.ok() ? *text : "";
  }

  ChildProcess::Options Command(const std::vector<std::string>& more = {}) const {
    ChildProcess::Options options;
    options.arguments = {
        DaemonPath(),        "--node", "910b",     "--library-directory", Library(),
        "--audit-directory", Audit(),  "--verbose"};
    options.arguments.insert(options.arguments.end(), more.begin(), more.end());
    options.error_file = directory_.Path("stderr");
    return options;
  }

  void Start(const std::vector<std::string>& more = {}) {
    Result<ChildProcess> started = ChildProcess::Start(Command(more));
    ASSERT_TRUE(started.ok()) << started.status().message();
    daemon_ = std::make_unique<ChildProcess>(std::move(*started));
    const Result<std::string> ready = daemon_->ReadLine();
    ASSERT_TRUE(ready.ok()) << ready.status().message() << "\n" << Log();
    EXPECT_EQ(*ready, "ready");
    struct stat node = {};
    ASSERT_EQ(::stat("/dev/davinci0", &node), 0);
    major_ = major(node.st_rdev);
  }

  // Ends the daemon as an operator does.
  void Stop() {
    if (daemon_ == nullptr) return;
    daemon_->Signal(SIGTERM);
    const Result<int> code = daemon_->Wait();
    EXPECT_TRUE(code.ok() && *code == 0) << Log();
    daemon_.reset();
  }

  RemoteProcess::Options In(Place place, std::vector<uint32_t> devices) const {
    RemoteProcess::Options options;
    options.place = place;
    options.devices = std::move(devices);
    options.device_major = major_;
    return options;
  }
  std::unique_ptr<RemoteProcess> Container(std::vector<uint32_t> devices) const {
    return std::make_unique<RemoteProcess>(Socket(), In(Place::kContainer, std::move(devices)));
  }

  TemporaryDirectory directory_;
  std::unique_ptr<ChildProcess> daemon_;
  unsigned major_ = 0;
};

TEST_F(DriverDaemonTest, AProcessSeesTheDevicesOfItsDev) {
  Start();
  const auto container = Container({1, 3});
  const HelloReply hello = container->Call(Operation::kHello).reply.hello;
  ASSERT_EQ(hello.device_count, 2U);
  EXPECT_EQ(hello.devices[0], 1U);
  EXPECT_EQ(hello.devices[1], 3U);
  EXPECT_EQ(hello.is_host_or_admin, 0U);
  EXPECT_EQ(container->Call(Operation::kOpenDevice, 0).reply.error, ENODEV);
  EXPECT_EQ(container->Call(Operation::kOpenDevice, 1).reply.error, 0);

  RemoteProcess host(Socket(), In(Place::kHostUser, {}));
  EXPECT_EQ(host.Call(Operation::kHello).reply.hello.device_count, 8U);
  EXPECT_EQ(host.Call(Operation::kHello).reply.hello.is_host_or_admin, 1U);
}

TEST_F(DriverDaemonTest, NodesOfAnotherDriverAreNoDevices) {
  Start();
  RemoteProcess::Options options = In(Place::kContainer, {0, 1});
  options.device_major = major_ + 1;
  RemoteProcess container(Socket(), options);
  EXPECT_EQ(container.Call(Operation::kHello).reply.hello.device_count, 0U);
}

TEST_F(DriverDaemonTest, TheBareTgidIsTheHostsAlsoInAPidNamespace) {
  Start();
  RemoteProcess container(Socket(), In(Place::kPidNamespace, {0}));
  const uint32_t tgid = container.Call(Operation::kBareTgid).reply.value32;
  const Result<std::string> status = ReadFile("/proc/" + std::to_string(tgid) + "/status");
  ASSERT_TRUE(status.ok());
  EXPECT_THAT(*status, HasSubstr("NSpid:"));
  EXPECT_THAT(*status, HasSubstr("\t" + std::to_string(tgid) + "\t1\n"));
  EXPECT_THAT(*status, HasSubstr("PPid:\t" + std::to_string(container.pid()) + "\n"));
}

TEST_F(DriverDaemonTest, ADeviceBelongsToOneContainerUntilItsProcessesHaveEnded) {
  Start();
  const auto first = Container({0}), second = Container({0});
  ASSERT_EQ(first->Call(Operation::kOpenDevice, 0).reply.error, 0);
  EXPECT_EQ(second->Call(Operation::kOpenDevice, 0).reply.error, EBUSY);
  EXPECT_EQ(second->Call(Operation::kDeviceRecord, 0).reply.error, EBUSY);
  first->Kill();
  EXPECT_TRUE(WaitUntil([&] { return second->Call(Operation::kOpenDevice, 0).reply.error == 0; }));
}

TEST_F(DriverDaemonTest, AdminIsRootWithEveryCapabilityAndNotUidZeroAlone) {
  Start();
  const auto owner = Container({0});
  ASSERT_EQ(owner->Call(Operation::kOpenDevice, 0).reply.error, 0);
  RemoteProcess admin(Socket(), In(Place::kAdminContainer, {0}));
  EXPECT_EQ(admin.Call(Operation::kHello).reply.hello.is_host_or_admin, 1U);
  EXPECT_EQ(admin.Call(Operation::kOpenDevice, 0).reply.error, 0);
  RemoteProcess user(Socket(), In(Place::kOtherUserContainer, {0}));
  EXPECT_EQ(user.Call(Operation::kHello).reply.hello.is_host_or_admin, 0U);
  EXPECT_EQ(user.Call(Operation::kOpenDevice, 0).reply.error, EBUSY);
}

TEST_F(DriverDaemonTest, TheHostsMountNamespaceCanBeAnotherProcess) {
  ChildProcess::Options idle;
  idle.arguments = {"unshare", "--mount", "sh", "-c", "echo there; read line"};
  Result<ChildProcess> other = ChildProcess::Start(idle);
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE(other->ReadLine().ok());
  Start({"--host-mount-namespace-of", std::to_string(other->pid())});
  RemoteProcess here(Socket(), In(Place::kHostUser, {}));
  EXPECT_EQ(here.Call(Operation::kHello).reply.hello.is_host_or_admin, 0U);
}

TEST_F(DriverDaemonTest, AnImporterSeesOnItsValidityPageThatTheExporterWasKilled) {
  Start();
  const auto exporter = Container({0}), importer = Container({1});
  const std::string key = exporter->Export(0);
  const Result<std::string> audit = ReadFile(Audit() + "/" + key);
  ASSERT_TRUE(audit.ok());
  EXPECT_THAT(*audit, HasSubstr(";pid=" + std::to_string(exporter->pid()) + ";"));
  ASSERT_EQ(exporter->CallWithKey(Operation::kShareSetPids, key, 0, {importer->pid()}).reply.error,
            0);
  ASSERT_EQ(exporter->Call(Operation::kEnablePeer, 0, 1).reply.error, 0);
  ASSERT_EQ(importer->Call(Operation::kEnablePeer, 1, 0).reply.error, 0);
  ASSERT_EQ(importer->Call(Operation::kOpenDevice, 1).reply.error, 0);
  const RemoteProcess::Answer hello = importer->Call(Operation::kHello);
  const size_t page_bytes = hello.reply.hello.validity_slots * sizeof(uint32_t);
  void* const page = ::mmap(nullptr, page_bytes, PROT_READ, MAP_SHARED, hello.descriptor.get(), 0);
  ASSERT_NE(page, MAP_FAILED);
  const RemoteProcess::Answer opened = importer->CallWithKey(Operation::kShareOpen, key, 1);
  ASSERT_EQ(opened.reply.error, 0) << Log();
  EXPECT_GE(opened.descriptor.get(), 0);
  const volatile uint32_t* const word =
      static_cast<uint32_t*>(page) + opened.reply.share.validity_slot;
  EXPECT_EQ(*word, 1U);
  EXPECT_THAT(ReadFile(Audit() + "/" + key).value(), HasSubstr(";vptr=0x130000000000"));
  exporter->Kill();
  EXPECT_TRUE(BecomesValid(word, false));
  EXPECT_EQ(importer->CallWithKey(Operation::kShareClose, key).reply.error, 0);
  EXPECT_FALSE(std::filesystem::exists(Audit() + "/" + key));
  ::munmap(page, page_bytes);
}

TEST_F(DriverDaemonTest, AForkedChildThatHoldsTheSocketDoesNotKeepItsParentAlive) {
  Start();
  const auto first = Container({0}), second = Container({0});
  ASSERT_EQ(first->Call(Operation::kOpenDevice, 0).reply.error, 0);
  first->ForkHolder();
  first->Kill();
  EXPECT_TRUE(WaitUntil([&] { return second->Call(Operation::kOpenDevice, 0).reply.error == 0; }));
}

TEST_F(DriverDaemonTest, AProcessHasOneStateHoweverManyConnections) {
  Start();
  const auto first = Container({0}), second = Container({0});
  ASSERT_EQ(first->Call(Operation::kOpenDevice, 0).reply.error, 0);
  first->Connect();
  ASSERT_EQ(first->Call(Operation::kCloseDevice, 0).reply.error, 0);
  ASSERT_EQ(first->Call(Operation::kOpenDevice, 0).reply.error, 0);
  first->Disconnect();
  ASSERT_EQ(first->Call(Operation::kBareTgid).reply.error, 0);
  EXPECT_EQ(second->Call(Operation::kOpenDevice, 0).reply.error, EBUSY);
  first->Disconnect();
  EXPECT_TRUE(WaitUntil([&] { return second->Call(Operation::kOpenDevice, 0).reply.error == 0; }));
}

TEST_F(DriverDaemonTest, WhatIsNotARequestEndsThatConnectionAlone) {
  Start();
  const auto bystander = Container({1});
  ASSERT_EQ(bystander->Call(Operation::kOpenDevice, 1).reply.error, 0);
  Request good = MakeRequest(Operation::kBareTgid);
  Request old = good;
  old.version = kProtocolVersion + 1;
  Request unknown = good;
  unknown.operation = static_cast<Operation>(4711);
  char large[sizeof(Request) + 8] = {};
  memcpy(large, &good, sizeof(good));
  const struct {
    const void* message;
    size_t bytes;
  } bad[] = {{&good, sizeof(good) - 1},
             {&good, 1},
             {large, sizeof(large)},
             {&old, sizeof(old)},
             {&unknown, sizeof(unknown)}};
  for (const auto& [message, bytes] : bad) {
    const auto container = Container({0});
    const RemoteProcess::Answer answer = container->CallRaw(message, bytes);
    ASSERT_TRUE(answer.connected);
    EXPECT_EQ(answer.reply.error, EINVAL);
    EXPECT_FALSE(container->Call(Operation::kBareTgid).connected);
  }
  EXPECT_EQ(bystander->Call(Operation::kCloseDevice, 1).reply.error, 0);
}

TEST_F(DriverDaemonTest, AProcessThatHasNoPidHereIsRefused) {
  ChildProcess::Options options = Command();
  const std::vector<std::string> unshare = {"unshare", "--pid", "--fork", "--kill-child"};
  options.arguments.insert(options.arguments.begin(), unshare.begin(), unshare.end());
  Result<ChildProcess> daemon = ChildProcess::Start(options);
  ASSERT_TRUE(daemon.ok());
  ASSERT_TRUE(daemon->ReadLine().ok()) << Log();
  RemoteProcess outside(Socket(), In(Place::kHost, {}));
  EXPECT_FALSE(outside.Call(Operation::kHello).connected);
  EXPECT_TRUE(WaitUntil([&] { return Log().find("hostPID") != std::string::npos; })) << Log();
}

TEST_F(DriverDaemonTest, AProcessThatTakesAListedPidLaterIsTooYoung) {
  Start();
  const auto exporter = Container({0});
  const std::string key = exporter->Export(0);
  const pid_t listed = Container({1})->pid();  // and it has ended
  ASSERT_EQ(exporter->CallWithKey(Operation::kShareSetPids, key, 0, {listed}).reply.error, 0);
  // Start times count clock ticks: one must pass for the next process to be younger.
  timespec begin = {}, now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &begin);
  const int64_t tick = 1000000000 / ::sysconf(_SC_CLK_TCK);
  ASSERT_TRUE(WaitUntil([&] {
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return (now.tv_sec - begin.tv_sec) * 1000000000 + (now.tv_nsec - begin.tv_nsec) > 2 * tick;
  }));
  // The box has a PID namespace of its own, where nobody else starts processes.
  std::ofstream("/proc/sys/kernel/ns_last_pid") << listed - 1 << std::flush;
  const auto young = Container({1});
  ASSERT_EQ(young->pid(), listed);
  ASSERT_EQ(young->Call(Operation::kOpenDevice, 1).reply.error, 0);
  ASSERT_EQ(exporter->Call(Operation::kEnablePeer, 0, 1).reply.error, 0);
  ASSERT_EQ(young->Call(Operation::kEnablePeer, 1, 0).reply.error, 0);
  EXPECT_EQ(young->CallWithKey(Operation::kShareOpen, key, 1).reply.error, EINVAL);
  EXPECT_THAT(Log(), HasSubstr("started after it was listed"));
  ASSERT_EQ(exporter->CallWithKey(Operation::kShareSetPids, key, 0, {listed}).reply.error, 0);
  EXPECT_EQ(young->CallWithKey(Operation::kShareOpen, key, 1).reply.error, 0) << Log();
}

TEST_F(DriverDaemonTest, DeviceNodesArePlaceholdersThatGoWithTheDaemon) {
  Start({"--device-mode", "0666"});
  for (const char* name : {"davinci7", "davinci_manager", "devmm_svm", "hisi_hdc"}) {
    const std::string path = std::string("/dev/") + name;
    struct stat node = {};
    ASSERT_EQ(::stat(path.c_str(), &node), 0) << name;
    EXPECT_TRUE(S_ISCHR(node.st_mode));
    EXPECT_EQ(node.st_mode & 07777, 0666U);
    EXPECT_EQ(::open(path.c_str(), O_RDWR | O_CLOEXEC), -1);
    EXPECT_EQ(errno, ENXIO);
  }
  EXPECT_FALSE(std::filesystem::exists("/dev/davinci8"));
  Stop();
  EXPECT_THAT(DeviceNodes(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(Socket()));
}

TEST_F(DriverDaemonTest, ARealDriversDeviceNodesAreLeftAlone) {
  std::ofstream("/dev/davinci3") << "somebody else's";
  Result<ChildProcess> refused = ChildProcess::Start(Command());
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused->Wait().value(), 1);
  EXPECT_THAT(Log(), HasSubstr("/dev/davinci3 exists and is not the simulator's"));
  EXPECT_TRUE(std::filesystem::is_regular_file("/dev/davinci3"));
  EXPECT_THAT(DeviceNodes(), ElementsAre("davinci3"));
}

TEST_F(DriverDaemonTest, ASecondDaemonIsRefusedAndAKilledOneIsReplaced) {
  Start();
  Result<ChildProcess> second = ChildProcess::Start(Command());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->Wait().value(), 1);
  EXPECT_THAT(Log(), HasSubstr("another process is already serving"));
  EXPECT_EQ(Container({0})->Call(Operation::kOpenDevice, 0).reply.error, 0);

  daemon_->Signal(SIGKILL);
  ASSERT_TRUE(daemon_->Wait().ok());
  daemon_.reset();
  Start();
  EXPECT_EQ(Container({0})->Call(Operation::kOpenDevice, 0).reply.error, 0);
}

TEST_F(DriverDaemonTest, ReadinessIsAlsoToldOnADescriptor) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETFD, FD_CLOEXEC);
  Start({"--ready-fd", std::to_string(write_end.get())});
  write_end.Reset();
  char text[16] = {};
  EXPECT_EQ(::read(read_end.get(), text, sizeof(text)), 6);
  EXPECT_STREQ(text, "ready\n");
  EXPECT_EQ(::read(read_end.get(), text, sizeof(text)), 0) << "it stays open";
}

TEST_F(DriverDaemonTest, BadSettingsEndItWithAnErrorThatHelps) {
  const struct {
    std::vector<std::string> arguments;
    const char* error;
  } cases[] = {
      {{"--node", "910z"}, "has: 910b, 910b-box16, 910c"},
      {{"--device-mode", "rw"}, "expected an octal mode from 0 to 777"},
      {{"--device-directory", "/nowhere"}, "/nowhere"},
      {{"--device-major", "1"}, "device major 1 belongs to a driver"},
      {{"--host-mount-namespace-of", "999999"}, "the host's mount namespace"},
      {{"--colour", "red"}, "--colour"},
  };
  for (const auto& [arguments, error] : cases) {
    ChildProcess::Options options = Command();
    options.arguments = {DaemonPath(), "--library-directory", Library()};
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    Result<ChildProcess> ended = ChildProcess::Start(options);
    ASSERT_TRUE(ended.ok());
    EXPECT_NE(ended->Wait().value(), 0);
    EXPECT_THAT(Log(), HasSubstr(error));
    EXPECT_THAT(DeviceNodes(), IsEmpty());
  }
}

}  // namespace
}  // namespace npu_ipc::sim

// Device nodes are made in a /dev of the test's own, and every process that it starts ends with it.
int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return npu_ipc::RunInNodeBox([] { return RUN_ALL_TESTS(); });
}
