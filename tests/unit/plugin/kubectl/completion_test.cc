#include "plugin/kubectl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugin/kubectl/fake_kubectl.h"

namespace npu_ipc::kubectl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> After(const std::vector<std::string>& words) {
  return Complete(
      words,
      [] {
        return std::vector<std::string>{"trainer-0", "loader-0"};
      },
      [] {
        return std::vector<std::string>{"node-a", "node-b"};
      });
}

TEST(Completion, OffersWhatMayFollow) {
  EXPECT_THAT(After({"sh"}), ElementsAre("shares"));
  EXPECT_THAT(After({""}), Contains("doctor"));
  EXPECT_THAT(After({"doctor", "t"}), ElementsAre("trainer-0"));
  EXPECT_THAT(After({"shares", "-o", ""}), ElementsAre("json", "wide", "yaml"));
  EXPECT_THAT(After({"shares", "--node", "node-b"}), ElementsAre("node-b"));
  EXPECT_THAT(After({"shares", "--all"}), ElementsAre("--all-namespaces"));
  EXPECT_THAT(After({"completion", "z"}), ElementsAre("zsh"));
  EXPECT_THAT(After({"shares", "x"}), IsEmpty());
}

TEST(Completion, HasAScriptForEachShell) {
  for (const char* const shell : {"bash", "zsh", "fish"}) {
    const Result<std::string> script = CompletionScript(shell);
    ASSERT_TRUE(script.ok());
    EXPECT_THAT(*script, HasSubstr("kubectl-npu __complete"));
  }
  EXPECT_FALSE(CompletionScript("tcsh").ok());
}

using CompletionRun = FakeKubectlTest;

TEST_F(CompletionRun, AsksForPodsWhereTheCommandLineSays) {
  OnCall("get pods -o name", "printf 'pod/trainer-0\\npod/loader-0\\n'");
  const Ran ran = Npu({"__complete", "--context=prod", "-n", "team", "doctor", ""});
  EXPECT_EQ(ran.output, "trainer-0\nloader-0\n:4\n");
  EXPECT_THAT(Calls(), ElementsAre("--context=prod get pods -o name --namespace=team"));
}

}  // namespace
}  // namespace npu_ipc::kubectl
