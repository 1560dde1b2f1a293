#include "plugin/kubectl/process_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "tests/fixtures/child_process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::kubectl {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

Command Shell(const std::string& text) { return {{"sh", "-c", text}}; }

TEST(ProcessPool, KeepsTheOrderOfTheCommands) {
  std::vector<Command> commands;
  for (int i = 0; i < 20; ++i) commands.push_back(Shell("echo " + std::to_string(i)));
  const std::vector<Outcome> outcomes = RunAll(commands, 3);
  ASSERT_EQ(outcomes.size(), 20U);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(outcomes[i].ok());
    EXPECT_EQ(outcomes[i].output, std::to_string(i) + "\n");
  }
}

TEST(ProcessPool, TellsHowACommandEnded) {
  const Outcome failed = kubectl::Run(Shell("echo out; echo why >&2; exit 3"));
  EXPECT_EQ(failed.exit_code, 3);
  EXPECT_EQ(failed.output, "out\n");
  EXPECT_EQ(failed.error, "why\n");
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(kubectl::Run(Shell("kill -TERM $$")).exit_code, 128 + SIGTERM);
  const Outcome missing = kubectl::Run({{"/nowhere/kubectl"}});
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_THAT(missing.problem, HasSubstr("cannot run /nowhere/kubectl"));
}

TEST(ProcessPool, EndsWhoeverTakesTooLongWithWhatItStarted) {
  const TemporaryDirectory directory;
  const std::string pid_file = directory.Path("pid");
  Command slow = Shell("sleep 600 & echo $! > " + pid_file + "; wait");
  slow.timeout = milliseconds(500);
  const Outcome outcome = kubectl::Run(slow);
  EXPECT_THAT(outcome.problem, HasSubstr("no answer within 0.5 s"));
  EXPECT_EQ(outcome.exit_code, 128 + SIGKILL);
  pid_t sleeper = 0;
  std::ifstream(pid_file) >> sleeper;
  ASSERT_GT(sleeper, 0);
  // Whoever is to reap it may not have done so yet.
  EXPECT_TRUE(WaitUntil([&] {
    std::ifstream stat("/proc/" + std::to_string(sleeper) + "/stat");
    std::string pid;
    std::string name;
    std::string state = "Z";
    stat >> pid >> name >> state;
    return state == "Z";
  }));
}

TEST(ProcessPool, EndsWhoeverWritesTooMuch) {
  Command loud = Shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done");
  loud.output_limit = 1000;
  EXPECT_THAT(kubectl::Run(loud).problem, HasSubstr("wrote more than 1000 bytes"));
}

TEST(ProcessPool, GivesThemNothingToRead) { EXPECT_EQ(kubectl::Run(Shell("wc -c")).output, "0\n"); }

}  // namespace
}  // namespace npu_ipc::kubectl
