#include "tests/unit/hal/acl_sim/simulated_node.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "acl/acl.h"
#include "hal/base/fd.h"
#include "tests/fixtures/node_box.h"

namespace npu_ipc::sim {
namespace {

std::string LibraryDirectory() {
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<void*>(&aclInit), &info) == 0) return "";
  return std::filesystem::path(info.dli_fname).parent_path().string();
}

std::string DriverProgram() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().string() +
         "/bin/npu-sim-driver";
}

// Mounts an empty file system over the libraries' directory, with the libraries in it: what is put
// there besides, the driver's socket, is this test program's alone.
bool IsolateLibraryDirectory() {
  const std::string directory = LibraryDirectory();
  const UniqueFd below(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!below ||
      ::mount("tmpfs", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) {
    return false;
  }
  for (const char* name : {"libascendcl.so", "libruntime.so"}) {
    const std::string source = "/proc/self/fd/" + std::to_string(below.get()) + "/" + name;
    const std::string target = directory + "/" + name;
    const UniqueFd made(::open(target.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) return false;
  }
  return true;
}

}  // namespace

int RunTestsOnSimulatedNode(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (::testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  return RunInNodeBox([] {
    if (!IsolateLibraryDirectory()) {
      ::perror(("mount over " + LibraryDirectory()).c_str());
      return 1;
    }
    return RUN_ALL_TESTS();
  });
}

void InFreshProcess(const std::function<void()>& body) {
  ::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    ::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

SimulatedDriver::SimulatedDriver(const std::string& node) {
  ChildProcess::Options options;
  options.arguments = {DriverProgram(), "--node", node, "--library-directory", LibraryDirectory()};
  Result<ChildProcess> started = ChildProcess::Start(options);
  EXPECT_TRUE(started.ok()) << started.status().message();
  if (!started.ok()) return;
  daemon_ = std::make_unique<ChildProcess>(std::move(*started));
  EXPECT_TRUE(daemon_->ReadLineStartingWith("ready").ok());
}

void SimulatedDriver::Kill() {
  daemon_->Signal(SIGKILL);
  EXPECT_TRUE(daemon_->Wait().ok());
}

void SendLine(int fd, const std::string& line) {
  const std::string text = line + "\n";
  EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string ReceiveLine(int fd) {
  std::string line;
  for (;;) {
    pollfd ready = {fd, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(kTestDeadline.count()) * 1000) != 1) {
      ADD_FAILURE() << "nothing to read before the deadline";
      return "";
    }
    char byte = 0;
    if (::read(fd, &byte, 1) != 1) return "";
    if (byte == '\n') return line;
    line.push_back(byte);
  }
}

Peer::Peer(const Body& body) {
  int to[2];
  int from[2];
  EXPECT_EQ(::pipe(to), 0);
  EXPECT_EQ(::pipe(from), 0);
  ::fflush(nullptr);
  pid_ = ::fork();
  EXPECT_GE(pid_, 0);
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(to[1]);
    ::close(from[0]);
    body(to[0], from[1]);
    ::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  ::close(to[0]);
  ::close(from[1]);
  to_ = to[1];
  from_ = from[0];
}

Peer::~Peer() {
  if (pid_ > 0) Kill();
  if (to_ >= 0) ::close(to_);
  ::close(from_);
}

void Peer::Send(const std::string& line) { SendLine(to_, line); }

std::string Peer::Receive() { return ReceiveLine(from_); }

void Peer::Kill() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int Peer::Finish() {
  ::close(to_);
  to_ = -1;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace npu_ipc::sim

int main(int argc, char** argv) { return npu_ipc::sim::RunTestsOnSimulatedNode(argc, argv); }
