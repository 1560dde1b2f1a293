#include "plugin/kubectl/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugin/kubectl/process_pool.h"
#include "tests/unit/plugin/kubectl/fake_kubectl.h"

namespace npu_ipc::kubectl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

TEST(Redaction, LeavesOutWhatLooksLikeAKey) {
  const std::string key(64, 'a');
  EXPECT_EQ(RedactText("key=" + key + " pod=team/trainer-0\n"), "<left out> pod=team/trainer-0\n");
  EXPECT_EQ(RedactText("a plain line, 12345\n"), "a plain line, 12345\n");
  EXPECT_EQ(RedactText(key), "<left out>");
  EXPECT_EQ(RedactText(""), "");
}

TEST(Redaction, LeavesOutValuesAndForeignAnnotations) {
  const json pod = RedactPod(
      {{"metadata",
        {{"annotations", {{"npu-ipc.io/group", "weights"}, {"last-applied", "secret-a"}}},
         {"managedFields", "x"}}},
       {"spec", {{"containers", {{{"env", {{{"name", "TOKEN"}, {"value", "secret-b"}}}}}}}}}});
  EXPECT_THAT(pod.dump(), Not(HasSubstr("secret")));
  EXPECT_THAT(pod.dump(), HasSubstr("TOKEN"));
  EXPECT_THAT(pod.dump(), HasSubstr("weights"));
}

using BundleRun = FakeKubectlTest;

TEST_F(BundleRun, PacksWhatThereIsAndSaysWhatIsMissing) {
  AddNode("node-a");
  AddNode("node-b");
  for (const char* const topic : {"version", "devices", "pods", "shares", "audit", "events"}) {
    Answer(topic, R"({"apiVersion":"diagnostics.npu-ipc.io/v1","node":"@NODE@","items":[]})");
  }
  Script("node-b", "echo unreachable >&2; exit 1");
  OnCall("logs", "echo a line of the log " + std::string(64, 'f'));
  OnCall("version -o json", "echo '{}'");
  OnCall("get nodes", R"(echo '{"items":[{"metadata":{"name":"node-a"}}]}')");
  const std::string file = directory_.Path("bundle.tar.gz");
  const Ran ran = Npu({"bundle", "-f", file});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
  EXPECT_EQ(ran.output, "wrote " + file + "\n");

  const Outcome listed = kubectl::Run({{"tar", "-tzf", file}});
  for (const char* const name : {"nodes/node-a/shares.json", "nodes/node-a/npu-ipc-broker.log",
                                 "nodes/node-a/npu-device-plugin.log", "daemon-pods.json",
                                 "nodes.json", "kubernetes-version.json", "problems"}) {
    EXPECT_THAT(listed.output, HasSubstr(name));
  }
  EXPECT_THAT(listed.output, Not(HasSubstr("node-b/shares.json")));
  const Outcome all = kubectl::Run({{"tar", "-xOzf", file}});
  EXPECT_THAT(all.output, HasSubstr("nodes/node-b/shares.json: unreachable"));
  EXPECT_THAT(all.output, HasSubstr("a line of the log <left out>"));
}

TEST_F(BundleRun, AFileThatCannotBeWrittenIsAnError) {
  AddNode("node-a");
  const Ran ran = Npu({"bundle", "-f", directory_.Path("none/bundle.tar.gz")});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.error, HasSubstr("cannot write"));
}

}  // namespace
}  // namespace npu_ipc::kubectl
