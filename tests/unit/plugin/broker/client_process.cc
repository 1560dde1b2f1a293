#include "tests/unit/plugin/broker/client_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
  // Answers on the control socket: the command's own result, and what the broker sent.
  kDone = 'o',
  kFailed = 'e',
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
    const ssize_t bytes = ::recv(control_, packet, sizeof(packet), 0);
    if (bytes <= 0) return false;
    const char* body = packet + 1;
    const auto body_bytes = static_cast<size_t>(bytes - 1);
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
    }
    Report(good ? kDone : kFailed, nullptr, 0);
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

ClientProcess::~ClientProcess() { Kill(); }

void ClientProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void ClientProcess::Command(char command, const void* body, size_t bytes) {
  const auto* first = static_cast<const char*>(body);
  std::vector<char> packet(1, command);
  packet.insert(packet.end(), first, first + bytes);
  [[maybe_unused]] const ssize_t ignored =
      ::send(control_.get(), packet.data(), packet.size(), MSG_NOSIGNAL);
}

bool ClientProcess::Connect(const std::string& path) {
  Command(kConnect, path.data(), path.size());
  return Done();
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

// The result of the command before; REQUIRES: nothing from the broker can be under way.
bool ClientProcess::Done() {
  char report = 0;
  return ::recv(control_.get(), &report, 1, 0) == 1 && report == kDone;
}

std::vector<char> ClientProcess::Receive() {
  const auto deadline = std::chrono::steady_clock::now() + kTestDeadline;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd polled = {control_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&polled, 1, static_cast<int>(left.count())) <= 0) return {};
    char packet[kPacketBytes];
    const ssize_t bytes = ::recv(control_.get(), packet, sizeof(packet), 0);
    if (bytes <= 0 || packet[0] == kClosed) return {};
    if (packet[0] == kPacket) return {packet + 1, packet + bytes};
  }
}

}  // namespace npu_ipc
