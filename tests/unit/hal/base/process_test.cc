#include "hal/base/process.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace npu_ipc {
namespace {

TEST(IdentifyPeer, NamesTheProcessThatMadeTheSocket) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd a(pair[0]), b(pair[1]);
  const Result<PeerProcess> peer = IdentifyPeer(a.get());
  ASSERT_TRUE(peer.ok()) << peer.status().message();
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(peer->start_time_ticks, *ProcessStartTime(::getpid()));
  EXPECT_TRUE(ProcessAlive(peer->pidfd.get()));
}

TEST(ProcessAlive, TurnsFalseWhenTheProcessEndsAndBeforeItIsReaped) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  Result<UniqueFd> pidfd = OpenPidfd(child);
  ASSERT_TRUE(pidfd.ok());
  EXPECT_TRUE(ProcessAlive(pidfd->get()));
  ::kill(child, SIGKILL);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(ProcessAlive(pidfd->get()));
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(ProcessAlive(pidfd->get()));
  EXPECT_EQ(ProcessStartTime(child).status().code(), StatusCode::kNotFound);
}

TEST(ReadFile, RefusesMoreThanItsLimit) {
  EXPECT_EQ(ReadFile("/proc/self/status", 16).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile("/proc/no-such-file").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace npu_ipc
