#include "tests/unit/hal/sim/remote_process.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hal/base/unix_socket.h"
#include "tests/fixtures/child_process.h"

namespace npu_ipc::sim {

// What the test tells its process to do. Larger messages than a request can be sent, to see what
// the driver makes of them.
struct RemoteProcess::Command {
  enum Kind : uint32_t { kCall, kConnect, kDisconnect, kForkHolder };
  Kind kind = kCall;
  uint32_t bytes = 0;
  char message[2 * sizeof(Request)] = {};
};

namespace {

constexpr uint64_t kPageBytes = uint64_t{2} << 20;

void Require(bool done, const char* what) {
  if (done) return;
  ::fprintf(stderr, "remote process: %s: %s\n", what, ::strerror(errno));
  ::_exit(126);
}

void DropCapabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  Require(::syscall(SYS_capset, &header, none) == 0, "capset");
}

void EnterContainer(const RemoteProcess::Options& options) {
  Require(::unshare(CLONE_NEWNS) == 0, "unshare");
  Require(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make / private");
  Require(::mount("tmpfs", "/dev", "tmpfs", 0, "mode=755") == 0, "tmpfs /dev");
  for (const uint32_t device : options.devices) {
    const std::string path = "/dev/davinci" + std::to_string(device);
    Require(::mknod(path.c_str(), S_IFCHR | 0660, ::makedev(options.device_major, device)) == 0,
            "mknod");
  }
}

}  // namespace

Request MakeRequest(Operation operation, uint32_t device, uint32_t peer) {
  Request request = {};
  request.version = kProtocolVersion;
  request.operation = operation;
  request.device = device;
  request.peer = peer;
  return request;
}

RemoteProcess::RemoteProcess(const std::string& socket_path, const Options& options) {
  int pair[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  control_.Reset(pair[0]);
  UniqueFd remote(pair[1]);
  pid_ = ::fork();
  if (pid_ == 0) {
    control_.Reset();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Run(remote.get(), socket_path, options);
  }
  remote.Reset();
  Connect();
}

RemoteProcess::~RemoteProcess() { Kill(); }

void RemoteProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RemoteProcess::Run(int control, const std::string& socket_path, const Options& options) {
  if (options.place != Place::kHost && options.place != Place::kHostUser) EnterContainer(options);
  if (options.place == Place::kPidNamespace) {
    Require(::unshare(CLONE_NEWPID) == 0, "unshare");
    const pid_t inner = ::fork();
    if (inner != 0) {
      ::waitpid(inner, nullptr, 0);
      ::_exit(0);
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
  if (options.place == Place::kOtherUserContainer || options.place == Place::kHostUser) {
    Require(::setresuid(1000, 1000, 1000) == 0, "setresuid");
  }
  if (options.place == Place::kContainer || options.place == Place::kPidNamespace) {
    DropCapabilities();
  }
  Serve(control, socket_path);
  ::_exit(0);
}

// Each command is answered: by nothing but an empty message when the driver has closed.
void RemoteProcess::Serve(int control, const std::string& socket_path) {
  std::vector<UniqueFd> sockets;
  for (;;) {
    Command command;
    const Result<ReceivedMessage> got = ReceiveMessage(control, &command, sizeof(command));
    if (!got.ok() || got->end_of_stream) return;
    Reply reply = {};
    size_t bytes = 1;
    UniqueFd descriptor;
    if (command.kind == Command::kConnect) {
      Result<UniqueFd> connected = ConnectUnix(socket_path);
      Require(connected.ok(), "connect");
      sockets.push_back(std::move(*connected));
    } else if (command.kind == Command::kDisconnect) {
      sockets.pop_back();
    } else if (command.kind == Command::kForkHolder) {
      if (::fork() == 0) {
        // Until the test closes its end: then the control socket says so.
        pollfd ended = {control, POLLRDHUP, 0};
        ::poll(&ended, 1, -1);
        ::_exit(0);
      }
    } else if (SendMessage(sockets.back().get(), command.message, command.bytes).ok()) {
      Result<ReceivedMessage> answer = ReceiveMessage(sockets.back().get(), &reply, sizeof(reply));
      if (answer.ok() && !answer->end_of_stream) {
        bytes = sizeof(reply);
        if (!answer->descriptors.empty()) descriptor = std::move(answer->descriptors[0]);
      }
    }
    if (!SendMessage(control, &reply, bytes, descriptor.get()).ok()) return;
  }
}

void RemoteProcess::Do(const Command& command, Answer* answer) {
  ASSERT_TRUE(SendMessage(control_.get(), &command, sizeof(command)).ok());
  pollfd answered = {control_.get(), POLLIN, 0};
  const int deadline = static_cast<int>(std::chrono::milliseconds(kTestDeadline).count());
  ASSERT_EQ(::poll(&answered, 1, deadline), 1) << "no answer from the driver";
  Result<ReceivedMessage> got =
      ReceiveMessage(control_.get(), &answer->reply, sizeof(answer->reply));
  ASSERT_TRUE(got.ok() && !got->end_of_stream) << "the remote process has ended";
  answer->connected = got->bytes == sizeof(answer->reply);
  if (!got->descriptors.empty()) answer->descriptor = std::move(got->descriptors[0]);
}

RemoteProcess::Answer RemoteProcess::CallRaw(const void* message, size_t bytes) {
  Command command;
  command.bytes = static_cast<uint32_t>(bytes);
  memcpy(command.message, message, bytes);
  Answer answer;
  Do(command, &answer);
  return answer;
}

RemoteProcess::Answer RemoteProcess::Call(Operation operation, uint32_t device, uint32_t peer) {
  return Call(MakeRequest(operation, device, peer));
}

RemoteProcess::Answer RemoteProcess::CallWithKey(Operation operation, const std::string& key,
                                                 uint32_t device,
                                                 const std::vector<int32_t>& pids) {
  Request request = MakeRequest(operation, device);
  request.address = 0x130000000000;
  request.count = static_cast<uint32_t>(pids.size());
  memcpy(request.key, key.c_str(), key.size() + 1);
  for (size_t i = 0; i < pids.size(); ++i) request.pids[i] = pids[i];
  return Call(request);
}

std::string RemoteProcess::Export(uint32_t device) {
  EXPECT_EQ(Call(Operation::kOpenDevice, device).reply.error, 0);
  Request allocate = MakeRequest(Operation::kAllocate, device);
  allocate.length = kPageBytes;
  allocate.page_bytes = kPageBytes;
  const Answer allocated = Call(allocate);
  EXPECT_EQ(allocated.reply.error, 0);
  Request share = MakeRequest(Operation::kShareCreate, device);
  share.handle = allocated.reply.values[0];
  share.length = kPageBytes;
  const Answer shared = Call(share);
  EXPECT_EQ(shared.reply.error, 0);
  return shared.reply.key;
}

void RemoteProcess::Connect() {
  Command command;
  command.kind = Command::kConnect;
  Answer ignored;
  Do(command, &ignored);
}

void RemoteProcess::Disconnect() {
  Command command;
  command.kind = Command::kDisconnect;
  Answer ignored;
  Do(command, &ignored);
}

void RemoteProcess::ForkHolder() {
  Command command;
  command.kind = Command::kForkHolder;
  Answer ignored;
  Do(command, &ignored);
}

}  // namespace npu_ipc::sim
