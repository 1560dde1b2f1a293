#include "plugin/cluster/label_removal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "plugin/cluster/node_labeler.h"
#include "plugin/cluster/reply.h"
#include "tests/fakes/fake_api_server.h"

namespace npu_ipc::cluster {
namespace {

using testing::HasSubstr;

constexpr char kManager[] = "npu-ipc-broker";

class LabelRemovalTest : public testing::Test {
 protected:
  static ObjectPath Node(const std::string& name) { return {kNodes, "", name}; }

  // With a label of somebody else's, and one of ours.
  void AddLabelled(const std::string& name) {
    server_.Put(Node(name), {{"metadata", {{"labels", {{"npu-ipc.io/pool", "a"}}}}}});
    const Reply node = client_.Get(Node(name));
    ASSERT_TRUE(node.ok());
    const auto patch = LabelPatch(node.body, {{"npu-ipc.io/npu.count", "8"}}, kManager);
    ASSERT_TRUE(client_.Patch(Node(name), {PatchType::kApply, kManager, true}, *patch).ok());
  }
  Json Labels(const std::string& name) {
    return server_.Find(Node(name))->at("metadata").at("labels");
  }

  FakeApiServer server_;
  ApiClient client_{server_.Config()};
};

TEST_F(LabelRemovalTest, TakesOursOffEveryNodeAndNoOthers) {
  AddLabelled("a");
  AddLabelled("b");
  server_.Put(Node("c"), {{"metadata", {{"labels", {{"npu-ipc.io/pool", "a"}}}}}});
  const Result<LabelRemoval> removal = RemoveNodeLabels(client_, kManager);
  ASSERT_TRUE(removal.ok());
  EXPECT_EQ(removal->nodes, 3u);
  EXPECT_EQ(removal->cleaned, 2u);
  EXPECT_EQ(removal->failed, 0u);
  for (const char* const name : {"a", "b", "c"}) {
    EXPECT_EQ(Labels(name), (Json{{"npu-ipc.io/pool", "a"}})) << name;
  }
}

TEST_F(LabelRemovalTest, FindsNothingMoreTheSecondTime) {
  AddLabelled("a");
  ASSERT_TRUE(RemoveNodeLabels(client_, kManager).ok());
  const size_t patches = server_.Requests("patch").size();
  const Result<LabelRemoval> again = RemoveNodeLabels(client_, kManager);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->cleaned, 0u);
  EXPECT_EQ(server_.Requests("patch").size(), patches);
}

TEST_F(LabelRemovalTest, GoesOnAfterANodeThatFails) {
  AddLabelled("a");
  AddLabelled("b");
  server_.Inject({.verb = "patch", .http_status = 403, .reason = "Forbidden"});
  const Result<LabelRemoval> removal = RemoveNodeLabels(client_, kManager);
  ASSERT_TRUE(removal.ok());
  EXPECT_EQ(removal->cleaned, 1u);
  EXPECT_EQ(removal->failed, 1u);
  EXPECT_THAT(removal->problem, HasSubstr("patch nodes/"));
}

TEST_F(LabelRemovalTest, ANodeThatHasGoneIsNoFailure) {
  AddLabelled("a");
  server_.Inject({.verb = "patch", .http_status = 404, .reason = "NotFound"});
  const Result<LabelRemoval> removal = RemoveNodeLabels(client_, kManager);
  ASSERT_TRUE(removal.ok());
  EXPECT_EQ(removal->cleaned, 0u);
  EXPECT_EQ(removal->failed, 0u);
}

TEST_F(LabelRemovalTest, FailsWhereItMayNotList) {
  server_.Inject({.verb = "list", .http_status = 403, .reason = "Forbidden"});
  EXPECT_EQ(RemoveNodeLabels(client_, kManager).status().code(), StatusCode::kPermissionDenied);
}

TEST(RunRemoveNodeLabels, SaysWhatIsWrong) {
  const char* const misspelt[] = {"remove-node-labels", "--kubeconfg=x"};
  EXPECT_EQ(RunRemoveNodeLabels(2, misspelt), 2);
  const char* const missing[] = {"remove-node-labels", "--kubeconfig=/nonexistent/config"};
  EXPECT_EQ(RunRemoveNodeLabels(2, missing), 1);
}

}  // namespace
}  // namespace npu_ipc::cluster
