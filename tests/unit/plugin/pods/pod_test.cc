#include "plugin/pods/pod.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "plugin/pods/directory.h"

namespace npu_ipc::pods {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr char kPod[] = R"({
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"uid": "u-1", "namespace": "team", "name": "trainer-0",
               "annotations": {"npu-ipc.io/group": "weights"}, "labels": {"app": "trainer"}},
  "spec": {"containers": [{"name": "main"}]},
  "status": {"containerStatuses": [{"name": "main", "containerID": "containerd://abc"},
                                   {"name": "starting"}],
             "initContainerStatuses": [{"name": "setup", "containerID": "cri-o://def"}]}})";

Pod Named(const std::string& uid, const std::string& name) {
  Pod pod;
  pod.uid = uid;
  pod.pod_namespace = "team";
  pod.name = name;
  return pod;
}

TEST(ParsePods, ReadsOnePod) {
  const auto pods = ParsePods(kPod);
  ASSERT_TRUE(pods.ok()) << pods.status().message();
  ASSERT_EQ(pods->size(), 1U);
  const Pod& pod = pods->front();
  EXPECT_EQ(pod.uid, "u-1");
  EXPECT_EQ(FullName(pod), "team/trainer-0");
  EXPECT_EQ(pod.annotations.at("npu-ipc.io/group"), "weights");
  EXPECT_EQ(pod.labels.at("app"), "trainer");
  EXPECT_EQ(ContainerName(pod, "abc"), "main");
  EXPECT_EQ(ContainerName(pod, "def"), "setup");
  EXPECT_EQ(ContainerName(pod, "unknown"), "");
}

TEST(ParsePods, ReadsAListAndAPodListWhoseItemsHaveNoKind) {
  for (const std::string kind : {"List", "PodList"}) {
    const auto pods = ParsePods(R"({"kind": ")" + kind + R"(", "items": [
      {"metadata": {"uid": "a", "namespace": "n", "name": "x", "annotations": null}},
      {"kind": "Pod", "metadata": {"uid": "b", "namespace": "n", "name": "y"}}]})");
    ASSERT_TRUE(pods.ok()) << pods.status().message();
    EXPECT_EQ(pods->size(), 2U);
  }
}

TEST(ParsePods, AnEmptyListIsNoPods) {
  const auto pods = ParsePods(R"({"kind": "List", "items": []})");
  ASSERT_TRUE(pods.ok());
  EXPECT_TRUE(pods->empty());
}

TEST(ParsePods, KeepsTheAnnotationsThatMatter) {
  const auto pods = ParsePods(R"({"kind": "Pod", "metadata": {"uid": "a", "namespace": "n",
    "name": "x", "annotations": {"npu-ipc.io/group": "g", "npu-ipc.io/other": "o",
    "example.com/x": "y",
    "kubectl.kubernetes.io/last-applied-configuration": "{}", "kubernetes.io/config.source": "file",
    "kubernetes.io/config.hash": "h", "kubernetes.io/config.mirror": "h"}}})");
  ASSERT_TRUE(pods.ok()) << pods.status().message();
  EXPECT_THAT(pods->front().annotations,
              UnorderedElementsAre(testing::Pair("npu-ipc.io/group", "g"),
                                   testing::Pair("npu-ipc.io/other", "o"),
                                   testing::Pair("kubernetes.io/config.hash", "h"),
                                   testing::Pair("kubernetes.io/config.mirror", "h")));
}

TEST(ParsePods, APhaseSaysWhetherAPodHasTerminated) {
  for (const auto& [phase, terminated] : {std::pair("\"Succeeded\"", true),
                                          {"\"Failed\"", true},
                                          {"\"Running\"", false},
                                          {"\"Pending\"", false},
                                          {"\"Unknown\"", false},
                                          {"7", false},
                                          {"null", false}}) {
    const auto pods = ParsePods(R"({"kind": "Pod", "metadata": {"uid": "a", "namespace": "n",
      "name": "x"}, "status": {"phase": )" +
                                std::string(phase) + "}}");
    ASSERT_TRUE(pods.ok()) << pods.status().message();
    EXPECT_EQ(pods->front().terminated, terminated) << phase;
  }
}

struct Malformed {
  std::string json;
  std::string named;
};

TEST(ParsePods, NamesWhatIsWrong) {
  const Malformed cases[] = {
      {"", "parse error"},
      {R"({"kind": "List", "items": [)", "parse error"},
      {"[]", "kind"},
      {"7", "kind"},
      {R"({"kind": "Service", "metadata": {}})", "kind"},
      {R"({"kind": "List"})", "items is missing"},
      {R"({"kind": "List", "items": {}})", "items is not an array"},
      {R"({"kind": "List", "items": [7]})", "items[0].metadata"},
      {R"({"kind": "List", "items": [{"kind": "Node"}]})", "items[0] is no Pod"},
      {R"({"kind": "List", "items": [{"metadata": {"uid": "a"}}]})", "items[0].metadata.namespace"},
      {R"({"kind": "Pod", "metadata": {"uid": 7, "namespace": "n", "name": "x"}})", "metadata.uid"},
      {R"({"kind": "Pod", "metadata": {"uid": "a", "namespace": "n", "name": ""}})",
       "metadata.name"},
      {R"({"kind": "Pod", "metadata": {"uid": "a", "namespace": "n", "name": "x",
           "annotations": {"k": 1}}})",
       "annotations['k']"},
      {R"({"kind": "Pod", "metadata": {"uid": "a", "namespace": "n", "name": "x", "labels": []}})",
       "labels is not an object"},
      {R"({"kind": "List", "items": [
           {"metadata": {"uid": "a", "namespace": "n", "name": "x"}},
           {"metadata": {"uid": "a", "namespace": "n", "name": "y"}}]})",
       "items[1].metadata.uid a is another pod's too"},
  };
  for (const Malformed& test : cases) {
    const auto pods = ParsePods(test.json);
    ASSERT_FALSE(pods.ok()) << test.json;
    EXPECT_EQ(pods.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(pods.status().message(), HasSubstr(test.named));
  }
}

TEST(CgroupUid, IsTheManifestsHashForTheMirrorOfAStaticPod) {
  const std::string hash = "6692aca748eb91429aeed74bd4135da2";
  Pod pod = Named("u-1", "etcd");
  EXPECT_EQ(CgroupUid(pod), "u-1");
  pod.annotations = {{"kubernetes.io/config.hash", hash}, {"kubernetes.io/config.mirror", hash}};
  EXPECT_EQ(CgroupUid(pod), hash);
}

TEST(CgroupUid, CannotBeAnotherPodsByAnnotation) {
  const std::string victim = "0c3a7074-41be-47d8-b6cb-a20a8f84383a";
  Pod pod = Named("u-1", "impostor");
  pod.annotations = {{"kubernetes.io/config.hash", victim},
                     {"kubernetes.io/config.mirror", victim}};
  EXPECT_EQ(CgroupUid(pod), "u-1");
}

TEST(PodTable, TellsWhatDiffersAndKeepsTheObjectsThatDoNot) {
  PodTable table;
  EXPECT_THAT(table.Replace({Named("a", "x"), Named("b", "y")}), UnorderedElementsAre("a", "b"));
  const auto kept = table.Find("a");
  const auto replaced = table.Find("b");
  Pod changed = Named("b", "y");
  changed.annotations["k"] = "v";
  EXPECT_THAT(table.Replace({Named("a", "x"), changed, Named("c", "z")}),
              UnorderedElementsAre("b", "c"));
  EXPECT_EQ(table.Find("a"), kept);
  EXPECT_NE(table.Find("b"), replaced);
  EXPECT_THAT(table.Replace({changed}), UnorderedElementsAre("a", "c"));
  EXPECT_EQ(table.Find("a"), nullptr);
  EXPECT_EQ(table.size(), 1U);
}

TEST(PodTable, LeavesOutTwoThatClaimOneStaticPod) {
  const std::string hash = "6692aca748eb91429aeed74bd4135da2";
  Pod mirror = Named("a", "etcd");
  mirror.annotations = {{"kubernetes.io/config.hash", hash}, {"kubernetes.io/config.mirror", hash}};
  Pod impostor = mirror;
  impostor.uid = "b";
  impostor.name = "impostor";
  PodTable table;
  EXPECT_THAT(table.Replace({mirror}), UnorderedElementsAre(hash));
  EXPECT_THAT(table.Replace({mirror, impostor}), UnorderedElementsAre(hash));
  EXPECT_EQ(table.Find(hash), nullptr);
}

TEST(PodTable, DoesNotKeepWhatHasTerminated) {
  PodTable table;
  Pod pod = Named("a", "x");
  EXPECT_THAT(table.Replace({pod}), UnorderedElementsAre("a"));
  pod.terminated = true;
  EXPECT_THAT(table.Replace({pod}), UnorderedElementsAre("a"));
  EXPECT_EQ(table.Find("a"), nullptr);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_THAT(table.Apply({{"a", pod}}), testing::IsEmpty());
}

TEST(PodTable, TakesOneChangeWithoutTheOthers) {
  PodTable table;
  table.Replace({Named("a", "x"), Named("b", "y")});
  const auto kept = table.Find("b");
  Pod changed = Named("a", "x");
  changed.annotations["npu-ipc.io/group"] = "g";
  EXPECT_THAT(table.Apply({{"a", changed}}), UnorderedElementsAre("a"));
  EXPECT_EQ(table.Find("b"), kept);
  EXPECT_THAT(table.Apply({{"a", changed}, {"c", std::nullopt}}), testing::IsEmpty());
  EXPECT_THAT(table.Apply({{"a", std::nullopt}, {"c", Named("c", "z")}}),
              UnorderedElementsAre("a", "c"));
  EXPECT_EQ(table.size(), 2U);
  EXPECT_EQ(table.All().size(), 2U);
}

TEST(PodTable, TheLastOfSeveralChangesCounts) {
  PodTable table;
  Pod later = Named("a", "x");
  later.annotations["npu-ipc.io/group"] = "g";
  EXPECT_THAT(table.Apply({{"a", Named("a", "x")}, {"a", std::nullopt}, {"a", later}}),
              UnorderedElementsAre("a"));
  EXPECT_EQ(*table.Find("a"), later);
  EXPECT_THAT(table.Apply({{"a", Named("a", "x")}, {"a", later}}), testing::IsEmpty());
  EXPECT_THAT(table.Apply({{"b", Named("b", "y")}, {"b", std::nullopt}}), testing::IsEmpty());
  EXPECT_EQ(table.size(), 1U);
}

TEST(PodTable, APodThatBecomesAMirrorMovesToItsHash) {
  const std::string hash = "6692aca748eb91429aeed74bd4135da2";
  PodTable table;
  table.Replace({Named("a", "etcd")});
  Pod mirror = Named("a", "etcd");
  mirror.annotations = {{"kubernetes.io/config.hash", hash}, {"kubernetes.io/config.mirror", hash}};
  EXPECT_THAT(table.Apply({{"a", mirror}}), UnorderedElementsAre("a", hash));
  EXPECT_EQ(table.Find("a"), nullptr);
  EXPECT_EQ(table.Find(hash)->uid, "a");
}

TEST(PodTable, AStaticPodIsBackOnceItsImpostorIsGone) {
  const std::string hash = "6692aca748eb91429aeed74bd4135da2";
  Pod mirror = Named("a", "etcd");
  mirror.annotations = {{"kubernetes.io/config.hash", hash}, {"kubernetes.io/config.mirror", hash}};
  Pod impostor = mirror;
  impostor.uid = "b";
  Pod third = mirror;
  third.uid = "c";
  PodTable table;
  table.Replace({mirror});
  EXPECT_THAT(table.Apply({{"b", impostor}}), UnorderedElementsAre(hash));
  EXPECT_THAT(table.Apply({{"c", third}}), testing::IsEmpty());
  EXPECT_THAT(table.Apply({{"b", std::nullopt}}), testing::IsEmpty());
  EXPECT_EQ(table.Find(hash), nullptr);
  EXPECT_THAT(table.Apply({{"c", std::nullopt}}), UnorderedElementsAre(hash));
  EXPECT_EQ(table.Find(hash)->uid, "a");
}

}  // namespace
}  // namespace npu_ipc::pods
