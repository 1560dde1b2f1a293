#include "plugin/pods/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::pods {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::shared_ptr<Pod> Sharing(const std::string& uid, const std::string& group) {
  auto pod = std::make_shared<Pod>();
  pod->uid = uid;
  pod->pod_namespace = "team";
  pod->name = "pod-" + uid;
  pod->annotations = {{"npu-ipc.io/group", group}};
  pod->labels = {{"app", "llm"}, {"note", "\xe2\x82\xac"}};
  pod->containers = {{"main", "c-" + uid}, {"starting", ""}};
  return pod;
}

class PodCheckpointTest : public testing::Test {
 protected:
  std::vector<Pod> Load(const std::string& node = "node-1") {
    return PodCheckpoint(directory_, node).Load();
  }
  void Save(PodPointers pods) { PodCheckpoint(directory_, "node-1").Save(std::move(pods)); }

  const TemporaryDirectory temporary_;
  const std::string directory_ = temporary_.Path("state");
};

TEST_F(PodCheckpointTest, GivesBackThePodsThatShare) {
  const auto a = Sharing("a", "weights");
  const auto b = Sharing("b", "$(labels['app']):importer");
  const auto other = Sharing("c", "x");
  other->annotations = {{"kubernetes.io/config.mirror", "h"}};
  EXPECT_THAT(Load(), IsEmpty());
  Save({a, other, b});
  EXPECT_THAT(Load(), ElementsAre(*a, *b));
  Save({});
  EXPECT_THAT(Load(), IsEmpty());
}

TEST_F(PodCheckpointTest, APodThatMisspellsItsAnnotationIsKeptToo) {
  const auto pod = Sharing("a", "");
  pod->annotations = {{"npu-ipc.io/gruop", "weights"}};
  Save({pod});
  EXPECT_THAT(Load(), ElementsAre(*pod));
}

TEST_F(PodCheckpointTest, IgnoresWhatIsNotItsOwnOrNotWhole) {
  Save({Sharing("a", "weights")});
  EXPECT_THAT(Load("node-2"), IsEmpty());
  EXPECT_EQ(Load().size(), 1U);
  ASSERT_EQ(::chmod((directory_ + "/pods").c_str(), 0644), 0);
  EXPECT_THAT(Load(), IsEmpty());
  ASSERT_EQ(::chmod((directory_ + "/pods").c_str(), 0600), 0);
  EXPECT_EQ(Load().size(), 1U);
  std::ofstream(directory_ + "/pods", std::ios::app) << "x";
  EXPECT_THAT(Load(), IsEmpty());
}

TEST_F(PodCheckpointTest, AnnotationsThatAreNoUtf8DoNoHarm) {
  const auto pod = Sharing("a", "weights");
  pod->annotations["npu-ipc.io/group"] = "\xff";
  Save({pod, Sharing("b", "logs")});
  EXPECT_EQ(Load().size(), 2U);
}

TEST_F(PodCheckpointTest, WritesTheLastOfWhatWaits) {
  {
    PodCheckpoint checkpoint(directory_, "node-1");
    for (int i = 0; i < 1000; ++i) checkpoint.Save({Sharing(std::to_string(i), "weights")});
  }
  const std::vector<Pod> pods = Load();
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_EQ(pods[0].uid, "999");
}

TEST_F(PodCheckpointTest, GoesOnWhereItCannotWrite) {
  std::ofstream(temporary_.Path("file")) << "x";
  {
    PodCheckpoint checkpoint(temporary_.Path("file") + "/state", "node-1");
    EXPECT_THAT(checkpoint.Load(), IsEmpty());
    checkpoint.Save({Sharing("a", "weights")});
  }
  EXPECT_FALSE(std::filesystem::exists(temporary_.Path("file") + "/state"));
}

TEST(PodsFromText, RefusesWhatItDidNotWrite) {
  for (const char* text :
       {"", "{}", "[]", "7", "{\"node\": \"n\"}", "{\"node\": \"n\", \"pods\": {}}",
        "{\"node\": 7, \"pods\": []}", "{\"node\": \"other\", \"pods\": []}",
        "{\"node\": \"n\", \"pods\": [7]}", "{\"node\": \"n\", \"pods\": [{\"metadata\": {}}]}"}) {
    const auto pods = PodsFromText(text, "n");
    ASSERT_FALSE(pods.ok()) << text;
    EXPECT_EQ(pods.status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(PodsFromText(R"({"node": "n", "pods": [{"metadata": {"uid": "a"}}]})", "n")
                  .status()
                  .message(),
              HasSubstr("pods[0].metadata.namespace"));
  EXPECT_TRUE(PodsFromText(R"({"node": "n", "pods": []})", "n").ok());
}

}  // namespace
}  // namespace npu_ipc::pods
