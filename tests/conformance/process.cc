#include "tests/conformance/process.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "hal/base/posix_error.h"
#include "hal/base/unix_socket.h"

namespace npu_ipc::conformance {
namespace {

// A body is a function of this program, which the process runs too, at another address.
struct CallMessage {
  int64_t body_offset;  // from ServeCalls
  bool new_thread;
  CallBytes bytes;
};

int64_t OffsetOf(CallBody body) {
  return reinterpret_cast<int64_t>(body) - reinterpret_cast<int64_t>(&ServeCalls);
}

CallBody BodyAt(int64_t offset) {
  return reinterpret_cast<CallBody>(reinterpret_cast<int64_t>(&ServeCalls) + offset);
}

void CheckOrEnd(int result, const char* what) {
  if (result == 0) return;
  ::perror(what);
  ::_exit(125);
}

UniqueFd OpenNamespace(const std::string& process, const char* name) {
  const std::string path = "/proc/" + process + "/ns/" + name;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(fd) << PosixError(errno, "open " + path).message();
  return fd;
}

// Puts the children of this process into another PID namespace as long as it lives.
class ChildPidNamespace {
 public:
  ChildPidNamespace() : own_(OpenNamespace("self", "pid")) {}
  ~ChildPidNamespace() { EXPECT_EQ(::setns(own_.get(), CLONE_NEWPID), 0) << errno; }
  void EnterNew() { EXPECT_EQ(::unshare(CLONE_NEWPID), 0) << errno; }
  void Enter(const UniqueFd& other) { EXPECT_EQ(::setns(other.get(), CLONE_NEWPID), 0) << errno; }

 private:
  UniqueFd own_;
};

}  // namespace

Process::Process(const Surroundings& surroundings) {
  ChildPidNamespace pid_namespace;
  ChildProcess::Options options;
  if (surroundings.kind != Surroundings::Kind::kHost) {
    own_container_ = true;
    if (surroundings.own_pid_namespace) pid_namespace.EnterNew();
    options.before_exec = [&surroundings] { EnterNewContainer(surroundings); };
  }
  Start(options);
}

Process Process::Beside(const Process& neighbour) {
  EXPECT_TRUE(neighbour.own_container_) << "the host's processes are all beside one another";
  const std::string pid = std::to_string(neighbour.pid());
  ChildPidNamespace pid_namespace;
  pid_namespace.Enter(OpenNamespace(pid, "pid"));
  const UniqueFd mounts = OpenNamespace(pid, "mnt");
  const UniqueFd ipc = OpenNamespace(pid, "ipc");
  const UniqueFd net = OpenNamespace(pid, "net");
  ChildProcess::Options options;
  options.before_exec = [&] {
    CheckOrEnd(::setns(ipc.get(), CLONE_NEWIPC), "enter the IPC namespace");
    CheckOrEnd(::setns(net.get(), CLONE_NEWNET), "enter the network namespace");
    // A sanitizer's thread shares the working directory: setns(2) refuses to take both along.
    CheckOrEnd(::unshare(CLONE_FS), "unshare the working directory");
    CheckOrEnd(::setns(mounts.get(), CLONE_NEWNS), "enter the mount namespace");
    DropToContainerCapabilities();
  };
  Process process;
  process.own_container_ = true;
  process.Start(options);
  return process;
}

std::unique_ptr<Process> Process::WithPid(pid_t pid) {
  // The kernel looks for a free id from the one after this on.
  std::ofstream("/proc/sys/kernel/ns_last_pid") << pid - 1 << std::flush;
  std::unique_ptr<Process> process(new Process);
  process->Start({});
  return process->pid() == pid ? std::move(process) : nullptr;
}

Process::~Process() {
  if (socket_) Exit();
}

void Process::Start(const ChildProcess::Options& options) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0) << errno;
  socket_.Reset(ends[0]);
  const UniqueFd other(ends[1]);
  ChildProcess::Options all = options;
  all.arguments = {std::filesystem::read_symlink("/proc/self/exe").string(), kServeCallsFlag,
                   std::to_string(other.get())};
  all.before_exec = [&] {
    if (options.before_exec) options.before_exec();
    ::fcntl(other.get(), F_SETFD, 0);
  };
  Result<ChildProcess> child = ChildProcess::Start(all);
  ASSERT_TRUE(child.ok()) << child.status().message();
  child_ = std::make_unique<ChildProcess>(std::move(*child));
}

void Process::Run(Thread thread, CallBody body, CallBytes& bytes) {
  CallMessage call = {OffsetOf(body), thread == Thread::kNew, bytes};
  bytes = {};
  if (!socket_) {
    ADD_FAILURE() << "process " << pid() << " has been ended before";
    return;
  }
  const Status sent = SendMessage(socket_.get(), &call, sizeof(call));
  pollfd readable = {socket_.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&readable, 1, static_cast<int>(kTestDeadline / std::chrono::milliseconds(1)));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) {
    ADD_FAILURE() << "process " << pid() << " has not answered within 30 s";
    Kill();
    return;
  }
  const Result<ReceivedMessage> received =
      ReceiveMessage(socket_.get(), bytes.data(), bytes.size());
  if (sent.ok() && received.ok() && received->bytes == bytes.size()) return;
  socket_.Reset();
  const Result<int> code = child_->Wait();
  ADD_FAILURE() << "process " << pid() << " ended in a call, with code "
                << (code.ok() ? *code : -1);
  bytes = {};
}

void Process::Exit() {
  if (!socket_) return;
  socket_.Reset();
  const Result<int> code = child_->Wait();
  ASSERT_TRUE(code.ok()) << code.status().message();
  EXPECT_EQ(*code, 0) << "exit code of process " << pid();
}

void Process::Kill() {
  child_->Signal(SIGKILL);
  EXPECT_TRUE(child_->Wait().ok());
  socket_.Reset();
}

int ServeCalls(int socket) {
  const UniqueFd owned(socket);
  CallMessage call;
  for (;;) {
    const Result<ReceivedMessage> received = ReceiveMessage(socket, &call, sizeof(call));
    if (!received.ok()) return 1;
    if (received->end_of_stream) return 0;
    CallBytes result = {};
    const CallBody body = BodyAt(call.body_offset);
    if (call.new_thread) {
      std::thread([&] { body(call.bytes, result); }).join();
    } else {
      body(call.bytes, result);
    }
    if (!SendMessage(socket, result.data(), result.size()).ok()) return 1;
  }
}

}  // namespace npu_ipc::conformance
