#include "tests/unit/plugin/broker/client_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "hal/base/unix_socket.h"
#include "tests/fixtures/child_process.h"

namespace npu_ipc {
namespace {

constexpr size_t kPacketBytes = 16384;

enum Command : char {
  kConnect = 'c',
  kDisconnect = 'd',
  kSend = 's',
  kSendFromChild = 'f',
  kFlood = 'x',
  kSendFromThread = 't',
  kSendAs = 'a',
  kExecute = 'e',
  kFork = 'k',
  kGive = 'g',
  kTake = 'm',
  // Answers on the control socket: the command's own result, and what the broker sent.
  kDone = 'o',
  kFailed = 'n',
  kPacket = 'p',
  kClosed = 'z',
};

// What the forked process does.
class Puppet {
 public:
  explicit Puppet(int control) : control_(control) {}

  void Run() {
    for (;;) {
      pollfd polled[2] = {{control_, POLLIN, 0}, {broker_.get(), POLLIN, 0}};
      if (::poll(polled, 2, -1) < 0) continue;
      if (polled[0].revents != 0 && !Obey()) return;
      if (broker_ && polled[1].revents != 0) Forward();
    }
  }

 private:
  bool Obey() {
    char packet[kPacketBytes];
    Result<ReceivedMessage> command = ReceiveMessage(control_, packet, sizeof(packet));
    if (!command.ok() || command->bytes == 0) return false;
    const char* body = packet + 1;
    const size_t body_bytes = command->bytes - 1;
    UniqueFd passed;
    if (!command->descriptors.empty()) passed = std::move(command->descriptors.front());
    bool good = true;
    switch (packet[0]) {
      case kConnect: {
        Result<UniqueFd> connected = ConnectUnix(std::string(body, body_bytes));
        good = connected.ok();
        if (good) broker_ = std::move(connected).value();
        break;
      }
      case kDisconnect:
        broker_.Reset();
        break;
      case kSend:
        good = ::send(broker_.get(), body, body_bytes, MSG_NOSIGNAL) >= 0;
        break;
      case kSendFromChild: {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(::send(broker_.get(), body, body_bytes, MSG_NOSIGNAL) < 0);
        ::waitpid(child, nullptr, 0);
        break;
      }
      case kFlood: {
        uint32_t count;
        memcpy(&count, body, sizeof(count));
        for (uint32_t i = 0; i < count; ++i) {
          if (::send(broker_.get(), body + sizeof(count), body_bytes - sizeof(count),
                     MSG_NOSIGNAL) < 0) {
            break;
          }
        }
        break;
      }
      case kSendFromThread:
        std::thread([&] {
          good = ::send(broker_.get(), body, body_bytes, MSG_NOSIGNAL) >= 0;
        }).join();
        break;
      case kSendAs:
        good = SendAs(body, body_bytes);
        break;
      case kExecute:
        good = Execute(body, body_bytes);
        break;
      case kFork:
        good = Fork(body, std::move(passed));
        break;
      case kGive:
        good = SendMessage(control_, &packet[0], 1, broker_.get()).ok();
        return good;
      case kTake:
        broker_ = std::move(passed);
        break;
    }
    Report(good ? kDone : kFailed, &packet[0], 1);
    return true;
  }

  bool SendAs(const char* body, size_t bytes) {
    ucred sender = {0, ::getuid(), ::getgid()};
    memcpy(&sender.pid, body, sizeof(sender.pid));
    iovec part = {const_cast<char*>(body) + sizeof(sender.pid), bytes - sizeof(sender.pid)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(sender))] = {};
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* const c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(sender));
    memcpy(CMSG_DATA(c), &sender, sizeof(sender));
    return ::sendmsg(broker_.get(), &header, MSG_NOSIGNAL) >= 0;
  }

  // tail writes its input to the broker and then waits for more.
  bool Execute(const char* packet, size_t bytes) {
    const UniqueFd input(::memfd_create("packet", MFD_CLOEXEC));
    if (::write(input.get(), packet, bytes) != static_cast<ssize_t>(bytes)) return false;
    ::lseek(input.get(), 0, SEEK_SET);
    ::dup2(input.get(), STDIN_FILENO);
    ::dup2(broker_.get(), STDOUT_FILENO);
    ::execlp("tail", "tail", "-c", "+1", "-f", "-", nullptr);
    return false;
  }

  // The child goes on as a puppet of whoever has the other end of `control`.
  bool Fork(const char* body, UniqueFd control) {
    int namespaces;
    memcpy(&namespaces, body, sizeof(namespaces));
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    const UniqueFd wait_end(ends[0]);
    UniqueFd tell_end(ends[1]);
    // Not by unshare(2), which a process of several threads may not do: ThreadSanitizer adds one.
    const auto child =
        static_cast<pid_t>(namespaces == 0 ? ::fork()
                                           : ::syscall(SYS_clone, namespaces | SIGCHLD, nullptr,
                                                       nullptr, nullptr, nullptr));
    if (child < 0) return false;
    if (child != 0) return SendMessage(control.get(), &child, sizeof(child)).ok();
    // Its pid comes first on `control`: until its parent has sent that, and closed its end.
    tell_end.Reset();
    char none;
    if (::read(wait_end.get(), &none, 1) != 0) return false;
    ::dup2(control.get(), control_);
    return true;
  }

  void Forward() {
    char packet[kPacketBytes];
    const ssize_t bytes = ::recv(broker_.get(), packet, sizeof(packet), 0);
    if (bytes > 0) return Report(kPacket, packet, static_cast<size_t>(bytes));
    broker_.Reset();
    Report(kClosed, nullptr, 0);
  }

  void Report(char what, const char* body, size_t bytes) {
    std::vector<char> report(1, what);
    report.insert(report.end(), body, body + bytes);
    [[maybe_unused]] const ssize_t ignored =
        ::send(control_, report.data(), report.size(), MSG_NOSIGNAL);
  }

  const int control_;
  UniqueFd broker_;
};

}  // namespace

ClientProcess::ClientProcess() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
  control_.Reset(ends[0]);
  UniqueFd far_end(ends[1]);
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  control_.Reset();
  Puppet(far_end.get()).Run();
  ::_exit(0);
}

ClientProcess::ClientProcess(pid_t pid, UniqueFd control)
    : pid_(pid), control_(std::move(control)) {}

ClientProcess::~ClientProcess() { Kill(); }

void ClientProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void ClientProcess::Command(char command, const void* body, size_t bytes, int passed_fd) {
  const auto* first = static_cast<const char*>(body);
  std::vector<char> packet(1, command);
  packet.insert(packet.end(), first, first + bytes);
  [[maybe_unused]] const npu_ipc::Status ignored =
      SendMessage(control_.get(), packet.data(), packet.size(), passed_fd);
}

bool ClientProcess::Connect(const std::string& path) {
  Command(kConnect, path.data(), path.size());
  return Done(kConnect);
}

bool ClientProcess::SendAs(pid_t sender, const void* packet, size_t bytes) {
  const auto* const number = reinterpret_cast<const char*>(&sender);
  const auto* const first = static_cast<const char*>(packet);
  std::vector<char> body(number, number + sizeof(sender));
  body.insert(body.end(), first, first + bytes);
  Command(kSendAs, body.data(), body.size());
  return Done(kSendAs);
}

void ClientProcess::SendFromThread(const void* packet, size_t bytes) {
  Command(kSendFromThread, packet, bytes);
}

void ClientProcess::Execute(const void* packet, size_t bytes) { Command(kExecute, packet, bytes); }

std::unique_ptr<ClientProcess> ClientProcess::Fork(int namespaces) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return nullptr;
  UniqueFd near_end(ends[0]), far_end(ends[1]);
  Command(kFork, &namespaces, sizeof(namespaces), far_end.get());
  far_end.Reset();
  pid_t pid = -1;
  if (::recv(near_end.get(), &pid, sizeof(pid), 0) != sizeof(pid)) return nullptr;
  Done(kFork);
  std::unique_ptr<ClientProcess> child(new ClientProcess(pid, std::move(near_end)));
  child->Done(kFork);
  return child;
}

UniqueFd ClientProcess::Socket() {
  Command(kGive, "", 0);
  for (;;) {
    char report = 0;
    Result<ReceivedMessage> given = ReceiveMessage(control_.get(), &report, 1);
    if (!given.ok() || given->bytes == 0) return UniqueFd();
    if (!given->descriptors.empty()) return std::move(given->descriptors.front());
    if (report == kGive) return UniqueFd();
  }
}

bool ClientProcess::Take(int socket) {
  Command(kTake, "", 0, socket);
  return Done(kTake);
}

void ClientProcess::Disconnect() { Command(kDisconnect, "", 0); }
void ClientProcess::Send(const void* packet, size_t bytes) { Command(kSend, packet, bytes); }
void ClientProcess::SendFromChild(const void* packet, size_t bytes) {
  Command(kSendFromChild, packet, bytes);
}

void ClientProcess::Flood(const void* packet, size_t bytes, uint32_t count) {
  const auto* number = reinterpret_cast<const char*>(&count);
  const auto* first = static_cast<const char*>(packet);
  std::vector<char> body(number, number + sizeof(count));
  body.insert(body.end(), first, first + bytes);
  Command(kFlood, body.data(), body.size());
}

// The result of the last command of that kind; REQUIRES: no packet from the broker can be under
// way.
bool ClientProcess::Done(char command) {
  for (;;) {
    char report[2] = {};
    if (::recv(control_.get(), report, sizeof(report), 0) <= 0) return false;
    if (report[0] == kPacket) return false;
    // What else was told before: of commands that nobody waited for, of an end.
    if (report[1] == command && report[0] != kClosed) return report[0] == kDone;
  }
}

// The next packet or kClosed; nothing where neither came in time.
std::optional<std::vector<char>> ClientProcess::Next() {
  const auto deadline = std::chrono::steady_clock::now() + kTestDeadline;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd polled = {control_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&polled, 1, static_cast<int>(left.count())) <= 0) {
      return std::nullopt;
    }
    char packet[kPacketBytes];
    const ssize_t bytes = ::recv(control_.get(), packet, sizeof(packet), 0);
    if (bytes <= 0) return std::nullopt;
    if (packet[0] == kClosed) return std::vector<char>();
    if (packet[0] == kPacket) return std::vector<char>(packet + 1, packet + bytes);
  }
}

std::vector<char> ClientProcess::Receive() { return Next().value_or(std::vector<char>()); }

bool ClientProcess::WaitForClose() {
  const std::optional<std::vector<char>> next = Next();
  return next && next->empty();
}

}  // namespace npu_ipc
