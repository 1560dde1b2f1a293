// Who a peer is, with the kernel that is here and with what older ones have.
#include <errno.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

#include "hal/base/process.h"
#include "hal/base/unix_socket.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/node_box.h"
#include "tests/fixtures/older_kernel.h"
#include "tests/fixtures/process_ids.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc {
namespace {

struct Kernel {
  std::string name;
  KernelFeatures features;
};

// The body's result where it runs with that kernel, as root of a PID namespace of its own.
int InKernel(const Kernel& kernel, const std::function<int()>& body) {
  return RunInNodeBox([&] { return RestrictKernel(kernel.features) ? body() : 124; });
}

pid_t Fork(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  body();
  ::_exit(0);
}

// A process with that pid, which waits for its end.
bool TakePid(pid_t pid) {
  for (int tries = 0; tries < 100; ++tries) {
    if (!SetNextPid(pid)) return false;
    const pid_t child = Fork([] { ::pause(); });
    if (child == pid) return true;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return false;
}

class PeerOfKernel : public testing::TestWithParam<Kernel> {
 protected:
  const TemporaryDirectory directory_;
  const std::string path_ = directory_.Path("s");
};

const Kernel kKernels[] = {
    {"ThisOne", {}}, {"WithoutPeerPidfd", WithoutPeerPidfd()}, {"WithoutPidfds", WithoutPidfds()}};
INSTANTIATE_TEST_SUITE_P(Kernels, PeerOfKernel, testing::ValuesIn(kKernels),
                         [](const auto& test) { return test.param.name; });

TEST_P(PeerOfKernel, IsTheProcessThatConnected) {
  const int code = InKernel(GetParam(), [] {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return 1;
    const Result<PeerProcess> peer = IdentifyPeer(pair[0]);
    if (!peer.ok() || peer->pid != ::getpid()) return 2;
    if (peer->start_time_ticks != *ProcessStartTime(::getpid())) return 3;
    return ProcessAlive(*peer) ? 0 : 4;
  });
  EXPECT_EQ(code, 0);
}

TEST_P(PeerOfKernel, ThatHasEndedIsNotFound) {
  const int code = InKernel(GetParam(), [this] {
    const auto listener = UnixListener::Listen(path_, 0600);
    const pid_t peer = Fork([this] { static_cast<void>(ConnectUnix(path_)); });
    ::waitpid(peer, nullptr, 0);
    const Result<UniqueFd> socket = (*listener)->Accept();
    const Status status = IdentifyPeer(socket->get(), (*listener)->idle_since_ticks()).status();
    return static_cast<int>(status.code());
  });
  EXPECT_EQ(code, static_cast<int>(StatusCode::kNotFound));
}

// What IdentifyPeer says of a peer that has ended, and whose pid another process has by now.
int CodeForAReusedPid(const Kernel& kernel, const std::string& path) {
  return InKernel(kernel, [&path] {
    const auto listener = UnixListener::Listen(path, 0600);
    const pid_t peer = Fork([&path] { static_cast<void>(ConnectUnix(path)); });
    ::waitpid(peer, nullptr, 0);
    if (!TakePid(peer)) return 126;
    const Result<UniqueFd> socket = (*listener)->Accept();
    const Status status = IdentifyPeer(socket->get(), (*listener)->idle_since_ticks()).status();
    return static_cast<int>(status.code());
  });
}

TEST_P(PeerOfKernel, WhosePidIsAnotherProcessIsNotTakenForThat) {
  const StatusCode expected =
      GetParam().features.peer_pidfd_error == 0 ? StatusCode::kNotFound : StatusCode::kUnavailable;
  EXPECT_EQ(CodeForAReusedPid(GetParam(), path_), static_cast<int>(expected));
}

// Linux 6.5 to 6.15, which have no pidfd of a peer that was reaped.
TEST(IdentifyPeer, DoesNotLookUpByItsPidWhomTheKernelCallsGone) {
  const TemporaryDirectory directory;
  for (const int error : {EINVAL, ESRCH}) {
    EXPECT_EQ(CodeForAReusedPid({"", {.peer_pidfd_error = error}}, directory.Path("s")),
              static_cast<int>(StatusCode::kNotFound));
  }
}

TEST_P(PeerOfKernel, ThatIsYoungerThanTheListenersLastPauseSucceedsWhenItConnectsAgain) {
  const bool certain = GetParam().features.peer_pidfd_error == 0;
  const int code = InKernel(GetParam(), [this, certain] {
    const auto listener = UnixListener::Listen(path_, 0600);
    // As young as can be: started after the listener was last seen empty.
    const pid_t peer = Fork([this] {
      for (;;) {
        const Result<UniqueFd> socket = ConnectUnix(path_);
        char end;
        if (socket.ok()) [[maybe_unused]]
          const auto got = ::recv(socket->get(), &end, 1, 0);
      }
    });
    StatusCode first = StatusCode::kInternal, last = first;
    int connections = 0;
    const bool identified = WaitUntil([&] {
      // Not before there is one: whoever looks at an empty queue knows that the next is younger.
      pollfd connected = {(*listener)->fd(), POLLIN, 0};
      if (::poll(&connected, 1, 1000) != 1) return false;
      const uint64_t empty_since = (*listener)->idle_since_ticks();
      const Result<UniqueFd> socket = (*listener)->Accept();
      if (!socket.ok() || !*socket) return false;
      // There is no other, as the peer waits for the end of this one.
      if (const Result<UniqueFd> other = (*listener)->Accept(); !other.ok() || *other) return false;
      const auto found = IdentifyPeer(socket->get(), empty_since);
      last = found.status().code();
      if (connections++ == 0) first = last;
      return found.ok() && found->pid == peer && ProcessAlive(*found);
    });
    ::kill(peer, SIGKILL);
    if (!identified) return 1;
    return first == (certain ? StatusCode::kOk : StatusCode::kUnavailable) ? 0 : 2;
  });
  EXPECT_EQ(code, 0);
}

TEST_P(PeerOfKernel, IsAliveUntilItsLastThreadHasEnded) {
  const int code = InKernel(GetParam(), [this] {
    const auto listener = UnixListener::Listen(path_, 0600);
    int ready[2];
    if (::pipe(ready) != 0) return 1;
    const pid_t child = Fork([&] {
      const Result<UniqueFd> socket = ConnectUnix(path_);
      std::thread([&] {
        // Tells once the first thread has ended.
        const std::string first = "/proc/" + std::to_string(::getpid()) + "/stat";
        WaitUntil([&] { return ReadFile(first)->find(") Z ") != std::string::npos; });
        [[maybe_unused]] const auto told = ::write(ready[1], "r", 1);
        ::pause();
      }).detach();
      ::syscall(SYS_exit, 0);
    });
    char byte;
    if (::read(ready[0], &byte, 1) != 1) return 2;
    const Result<UniqueFd> socket = (*listener)->Accept();
    const Result<PeerProcess> peer = IdentifyPeer(socket->get());
    if (!peer.ok() || !ProcessAlive(*peer)) return 3;
    ::kill(child, SIGKILL);
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
    if (ProcessAlive(*peer)) return 4;
    ::waitpid(child, nullptr, 0);
    if (ProcessAlive(*peer)) return 5;
    if (!TakePid(child)) return 126;
    return ProcessAlive(*peer) ? 6 : 0;
  });
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace npu_ipc
