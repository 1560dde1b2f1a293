#include "plugin/identity/container.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace npu_ipc::identity {
namespace {

PeerProcess Describe(pid_t pid) {
  PeerProcess process;
  process.pid = pid;
  process.start_time_ticks = *ProcessStartTime(pid);
  process.pidfd = OpenPidfd(pid).value();
  return process;
}

TEST(ContainerOf, SaysThatThisTestIsInNoPod) {
  const Result<ContainerCgroup> container = ContainerOf(Describe(::getpid()));
  ASSERT_FALSE(container.ok());
  EXPECT_EQ(container.status().code(), StatusCode::kNotFound);
  EXPECT_NE(container.status().message().find("process " + std::to_string(::getpid())),
            std::string::npos);
}

TEST(ContainerOf, DoesNotTakeAnotherProcessOfTheSamePidForIt) {
  PeerProcess process = Describe(::getpid());
  process.start_time_ticks += 1;
  EXPECT_EQ(ContainerOf(process).status().code(), StatusCode::kUnavailable);
}

TEST(ContainerOf, SaysThatTheProcessHasEnded) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::pause());
  const PeerProcess process = Describe(child);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(ContainerOf(process).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace npu_ipc::identity
