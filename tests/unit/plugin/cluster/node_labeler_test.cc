#include "plugin/cluster/node_labeler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include <nlohmann/json.hpp>

#include "tests/fakes/fake_api_server.h"

namespace npu_ipc::cluster {
namespace {

using testing::HasSubstr;
using Kind = FakeFault::Kind;

const ObjectPath kNode{kNodes, "", "node-1"};
constexpr Duration kPromptly = std::chrono::seconds(3);

class NodeLabelerTest : public testing::Test {
 protected:
  NodeLabelerTest() {
    server_.Put(kNode, {{"metadata", {{"labels", {{"kubernetes.io/os", "linux"}}}}}});
    options_.pause = [this](Canceller& canceller, Duration) { canceller.WaitFor(longest_pause_); };
  }
  void Start() { labeler_ = std::make_unique<NodeLabeler>(client_, "node-1", options_); }
  bool Current() {
    return server_.WaitUntil([&] { return labeler_->state().current; });
  }
  bool SetAndWait(Labels labels) {
    return labeler_->SetLabels(std::move(labels)).ok() && Current();
  }
  Json LabelsNow() { return server_.Find(kNode)->at("metadata").at("labels"); }

  FakeApiServer server_;
  ApiClient client_{server_.Config()};
  NodeLabelerOptions options_;
  Duration longest_pause_ = std::chrono::milliseconds(1);
  std::unique_ptr<NodeLabeler> labeler_;
};

TEST_F(NodeLabelerTest, SetsItsLabelsAndNoOthers) {
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/chip", "910B3"}, {"npu-ipc.io/count", "8"}}));
  EXPECT_EQ(LabelsNow(), (Json{{"kubernetes.io/os", "linux"},
                               {"npu-ipc.io/chip", "910B3"},
                               {"npu-ipc.io/count", "8"}}));
  const FakeRequest patch = server_.Requests("patch").at(0);
  EXPECT_EQ(patch.content_type, "application/apply-patch+yaml");
  EXPECT_EQ(patch.parameters.at("fieldManager"), "npu-ipc-broker");
  EXPECT_EQ(patch.parameters.at("force"), "true");
}

TEST_F(NodeLabelerTest, WritesNothingThatIsThere) {
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/chip", "910B3"}}));
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/chip", "910B3"}}));
  labeler_.reset();
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/chip", "910B3"}}));
  EXPECT_EQ(server_.Requests("patch").size(), 1u);
  EXPECT_EQ(server_.Requests("get").size(), 3u);
}

TEST_F(NodeLabelerTest, WritesNothingWhereNothingWasEverSet) {
  Start();
  ASSERT_TRUE(SetAndWait({}));
  EXPECT_TRUE(server_.Requests("patch").empty());
}

TEST_F(NodeLabelerTest, RemovesWhatItSetBeforeEvenInAnotherLife) {
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/chip", "910B3"}, {"npu-ipc.io/count", "8"}}));
  labeler_.reset();
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/count", "7"}}));
  EXPECT_EQ(LabelsNow(), (Json{{"kubernetes.io/os", "linux"}, {"npu-ipc.io/count", "7"}}));
  ASSERT_TRUE(SetAndWait({}));
  EXPECT_EQ(LabelsNow(), (Json{{"kubernetes.io/os", "linux"}}));
}

TEST_F(NodeLabelerTest, LeavesOthersLabelsOfItsPrefixButTakesItsOwnBack) {
  server_.Put(kNode, {{"metadata",
                       {{"labels", {{"npu-ipc.io/enabled", "true"}, {"npu-ipc.io/count", "9"}}}}}});
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/count", "8"}}));
  ASSERT_TRUE(SetAndWait({}));
  EXPECT_EQ(LabelsNow(), (Json{{"npu-ipc.io/enabled", "true"}}));
}

TEST_F(NodeLabelerTest, PutsBackWhatSomebodyChanged) {
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/count", "8"}}));
  Json node = *server_.Find(kNode);
  node["metadata"]["labels"]["npu-ipc.io/count"] = "80";
  server_.Put(kNode, node);
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/count", "8"}}));
  EXPECT_EQ(LabelsNow().at("npu-ipc.io/count"), "8");
}

TEST_F(NodeLabelerTest, LooksAgainOnItsOwn) {
  options_.look_again = std::chrono::milliseconds(20);
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/count", "8"}}));
  server_.Delete(kNode);  // and the kubelet registers it anew
  server_.Put(kNode, {{"metadata", {{"labels", {{"kubernetes.io/os", "linux"}}}}}});
  EXPECT_TRUE(server_.WaitUntil([&] { return LabelsNow().contains("npu-ipc.io/count"); }));
}

TEST_F(NodeLabelerTest, TriesAgainUntilItWorks) {
  for (const char* verb : {"get", "patch"}) {
    for (const int http_status : {401, 403, 404, 409, 429, 500}) {
      server_.Inject({.verb = verb, .http_status = http_status});
    }
    server_.Inject({.verb = verb, .kind = Kind::kCut});
  }
  Start();
  ASSERT_TRUE(SetAndWait({{"npu-ipc.io/count", "8"}}));
  EXPECT_EQ(LabelsNow().at("npu-ipc.io/count"), "8");
  EXPECT_EQ(labeler_->state().problem, "");
}

TEST_F(NodeLabelerTest, SaysWhatIsWrong) {
  longest_pause_ = std::chrono::hours(1);
  server_.Inject({.verb = "patch", .http_status = 403, .reason = "Forbidden"});
  Start();
  ASSERT_TRUE(labeler_->SetLabels({{"npu-ipc.io/count", "8"}}).ok());
  ASSERT_TRUE(server_.WaitUntil([&] { return !labeler_->state().problem.empty(); }));
  EXPECT_THAT(labeler_->state().problem, HasSubstr("patch nodes/node-1"));
  EXPECT_THAT(labeler_->state().problem, HasSubstr("is 'node-1', which node.name says"));
  EXPECT_FALSE(labeler_->state().current);
}

TEST_F(NodeLabelerTest, WritesTheLastOfWhatIsSetMeanwhile) {
  server_.Inject({.verb = "get", .kind = Kind::kHold});
  Start();
  ASSERT_TRUE(labeler_->SetLabels({{"npu-ipc.io/count", "1"}}).ok());
  ASSERT_TRUE(server_.WaitForRequests("get", 1));
  for (const char* count : {"2", "3", "4"}) {
    ASSERT_TRUE(labeler_->SetLabels({{"npu-ipc.io/count", count}}).ok());
  }
  server_.Release();
  ASSERT_TRUE(Current());
  EXPECT_EQ(LabelsNow().at("npu-ipc.io/count"), "4");
  EXPECT_EQ(server_.Requests("patch").size(), 2u);
}

TEST_F(NodeLabelerTest, StopsAtOnce) {
  server_.Inject({.verb = "get", .kind = Kind::kHang});
  Start();
  ASSERT_TRUE(labeler_->SetLabels({}).ok());
  ASSERT_TRUE(server_.WaitForRequests("get", 1));
  const TimePoint start = SystemClock().Now();
  labeler_.reset();
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

TEST_F(NodeLabelerTest, RefusesALabelThatIsNotItsOwn) {
  Start();
  const std::string long_text(64, 'x');
  for (const Labels& labels : std::vector<Labels>{{{"kubernetes.io/arch", "arm64"}},
                                                  {{"npu-ipc.io/", "x"}},
                                                  {{"npu-ipc.io/a/b", "x"}},
                                                  {{"npu-ipc.io/-a", "x"}},
                                                  {{"npu-ipc.io/" + long_text, "x"}},
                                                  {{"npu-ipc.io/a", "with space"}},
                                                  {{"npu-ipc.io/a", ".x"}},
                                                  {{"npu-ipc.io/a", long_text}}}) {
    const Status status = labeler_->SetLabels(labels);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << labels.begin()->first;
    EXPECT_THAT(status.message(), HasSubstr(labels.begin()->first));
  }
  EXPECT_TRUE(CheckLabels({{"npu-ipc.io/a", ""}, {"npu-ipc.io/a.b_c-D", "1.2_3-x"}}).ok());
}

TEST(LabelPatch, SurvivesAnyNode) {
  for (const char* text :
       {"{}", "[]", "null", R"({"metadata":7})", R"({"metadata":{"labels":[],"managedFields":{}}})",
        R"({"metadata":{"managedFields":[7,{"manager":"us","operation":"Apply","fieldsV1":"x"}]}})",
        R"({"metadata":{"managedFields":[{"manager":"us","operation":"Apply",
            "fieldsV1":{"f:metadata":{"f:labels":[1]}}}]}})"}) {
    EXPECT_TRUE(LabelPatch(Json::parse(text), {{"npu-ipc.io/a", "b"}}, "us").has_value()) << text;
  }
}

}  // namespace
}  // namespace npu_ipc::cluster
