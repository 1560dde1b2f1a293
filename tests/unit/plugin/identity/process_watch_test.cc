#include "plugin/identity/process_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace npu_ipc::identity {
namespace {

class ProcessWatchTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    loop_ = std::move(EventLoop::Create()).value();
    child_ = ::fork();
    if (child_ == 0) ::_exit(::pause());
  }
  void TearDown() override { EndChild(); }

  // As IdentifyPeer() gives it, where the kernel has pidfds and where it has none.
  PeerProcess Child() const {
    PeerProcess process;
    process.pid = child_;
    process.start_time_ticks = *ProcessStartTime(child_);
    if (GetParam()) {
      process.pidfd = OpenPidfd(child_).value();
    } else {
      const std::string path = "/proc/" + std::to_string(child_);
      process.proc_directory.Reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    return process;
  }
  void EndChild() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }

  std::unique_ptr<EventLoop> loop_;
  pid_t child_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Kernels, ProcessWatchTest, testing::Bool(), [](const auto& test) {
  return test.param ? "WithPidfds" : "WithoutPidfds";
});

TEST_P(ProcessWatchTest, TellsOnceThatTheProcessHasEnded) {
  int told = 0;
  std::unique_ptr<ProcessWatch> watch;
  watch = std::move(ProcessWatch::Start(*loop_, Child(), [&] {
            ++told;
            watch.reset();  // as its owner may
            loop_->Stop();
          })).value();
  EXPECT_TRUE(watch->Alive());
  EXPECT_EQ(watch->process().pid, child_);
  EndChild();
  EXPECT_FALSE(watch->Alive());
  EXPECT_EQ(told, 0) << "on the loop, not before";
  loop_->Run();
  EXPECT_EQ(told, 1);
}

TEST_P(ProcessWatchTest, SaysNothingOnceItIsDestroyed) {
  constexpr Duration kLookEvery = std::chrono::milliseconds(1);
  auto watch = ProcessWatch::Start(
      *loop_, Child(), [] { FAIL() << "told after its end"; }, kLookEvery);
  ASSERT_TRUE(watch.ok());
  watch->reset();
  EndChild();
  loop_->RunAfter(kLookEvery, [this] { loop_->Stop(); });  // after a look that was due before
  loop_->Run();
}

}  // namespace
}  // namespace npu_ipc::identity
