#include "plugin/pods/share_decision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace npu_ipc::pods {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr auto kExport = ShareAction::kExport;
constexpr auto kImport = ShareAction::kImport;

// A pod that asks for `group`, and its policy.
struct Asking {
  Asking(const std::string& pod_namespace, const std::string& group,
         const std::string& allowed = "") {
    pod.uid = pod_namespace + "-uid";
    pod.pod_namespace = pod_namespace;
    pod.name = "p";
    pod.annotations["npu-ipc.io/group"] = group;
    if (!allowed.empty()) pod.annotations["npu-ipc.io/allow-namespaces"] = allowed;
    Result<SharePolicy> parsed = ParsePolicy(pod);
    EXPECT_TRUE(parsed.ok()) << parsed.status().message();
    if (parsed.ok()) policy = *parsed;
  }

  PodSide side() const { return {pod, policy}; }

  Pod pod;
  SharePolicy policy;
};

ClusterPolicy Open() {
  ClusterPolicy cluster;
  cluster.cross_namespace = true;
  return cluster;
}

const GroupId kWeights{"a", "weights"};

// "" where it may.
std::string Cause(const std::optional<ShareRefusal>& refusal) {
  return refusal ? std::string(RefusalCauseName(refusal->cause)) : "";
}

struct Pair {
  const char* what;
  Asking exporter;
  Asking importer;
  const char* cause;
  const char* named;
};

TEST(CheckShare, DecidesByWhatBothAskFor) {
  const Pair cases[] = {
      {"one namespace", {"a", "weights"}, {"a", "weights"}, "", ""},
      {"one namespace, fitting roles",
       {"a", "weights:exporter"},
       {"a", "weights:importer"},
       "",
       ""},
      {"one namespace, written out", {"a", "a/weights"}, {"a", "weights"}, "", ""},
      {"exporter is an importer",
       {"a", "weights:importer"},
       {"a", "weights"},
       "role-denied",
       "pod a/p is only importer in group 'weights'"},
      {"importer is an exporter",
       {"a", "weights"},
       {"a", "weights:exporter"},
       "role-denied",
       "needs the role importer or both"},
      {"exporter elsewhere",
       {"a", "other"},
       {"a", "weights"},
       "not-in-group",
       "pod a/p is not in group 'weights'; its npu-ipc.io/group annotation names other"},
      {"the same name in two namespaces",
       {"a", "weights"},
       {"b", "weights"},
       "not-in-group",
       "pod b/p is not in group 'a/weights'; its npu-ipc.io/group annotation names weights"},
      {"only the importer asks",
       {"a", "weights"},
       {"b", "a/weights"},
       "namespace-not-allowed",
       "its npu-ipc.io/allow-namespaces annotation needs 'b:importer'"},
      {"only the exporter asks",
       {"a", "weights", "b"},
       {"b", "weights"},
       "not-in-group",
       "pod b/p"},
      {"both ask", {"a", "weights", "b"}, {"b", "a/weights"}, "", ""},
      {"both ask, roles fit", {"a", "weights:exporter", "b"}, {"b", "a/weights:importer"}, "", ""},
      {"another namespace is allowed",
       {"a", "weights", "c"},
       {"b", "a/weights"},
       "namespace-not-allowed",
       "pod a/p does not let namespace b into group 'weights'"},
      {"allowed to export only",
       {"a", "weights", "b:exporter"},
       {"b", "a/weights"},
       "allowed-role-denied",
       "only as exporter"},
      {"its own role forbids what is allowed",
       {"a", "weights", "b:both"},
       {"b", "a/weights:exporter"},
       "role-denied",
       "pod b/p is only exporter in group 'a/weights'"},
      {"a guest exports without leave for it",
       {"b", "a/weights"},
       {"a", "weights", "b"},
       "allowed-role-denied",
       "needs the role exporter or both"},
      {"a guest exports with leave", {"b", "a/weights"}, {"a", "weights", "b:exporter"}, "", ""},
      {"a guest exports with leave for both",
       {"b", "a/weights"},
       {"a", "weights", "b:both"},
       "",
       ""},
      {"a guest exports to an exporter",
       {"b", "a/weights"},
       {"a", "weights:exporter", "b:both"},
       "role-denied",
       "pod a/p is only exporter"},
      {"two guests",
       {"b", "a/weights"},
       {"c", "a/weights"},
       "no-owner",
       "neither pod b/p nor pod c/p is of namespace a"},
      {"two guests of one namespace", {"b", "a/weights"}, {"b", "a/weights"}, "no-owner", ""},
      {"leave from a guest counts for nothing",
       {"b", "a/weights,mine", "c"},
       {"c", "a/weights"},
       "no-owner",
       ""},
      {"leave is for the groups that the pod is in",
       {"a", "other", "b"},
       {"b", "a/weights"},
       "not-in-group",
       ""},
  };
  for (const Pair& test : cases) {
    const auto refusal = CheckShare(kWeights, test.exporter.side(), test.importer.side(), Open());
    EXPECT_EQ(Cause(refusal), test.cause) << test.what;
    EXPECT_THAT(refusal ? refusal->message : "", HasSubstr(test.named)) << test.what;
  }
}

TEST(CheckShare, BetweenNamespacesIsOffUnlessTheClusterPolicyAllowsIt) {
  const Asking exporter("a", "weights", "b");
  const Asking importer("b", "a/weights");
  const auto refusal = CheckShare(kWeights, exporter.side(), importer.side(), ClusterPolicy());
  EXPECT_EQ(Cause(refusal), "cross-namespace-off");
  EXPECT_THAT(refusal->message, AllOf(HasSubstr("pod b/p asks for group 'a/weights'"),
                                      HasSubstr("policy.crossNamespace")));
  EXPECT_EQ(Cause(CheckShare(kWeights, exporter.side(), exporter.side(), ClusterPolicy())), "");
}

TEST(CheckShare, ADeniedNamespaceSharesNothing) {
  ClusterPolicy cluster = Open();
  cluster.denied_namespaces = {"x", "b"};
  const Asking owner("a", "weights", "b");
  const Asking guest("b", "a/weights,mine");
  const auto refusal = CheckShare(kWeights, owner.side(), guest.side(), cluster);
  EXPECT_EQ(Cause(refusal), "namespace-denied");
  EXPECT_THAT(refusal->message, HasSubstr("denies sharing to namespace b"));
  EXPECT_EQ(Cause(CheckShare({"b", "mine"}, guest.side(), guest.side(), cluster)),
            "namespace-denied");
  EXPECT_EQ(Cause(CheckShare(kWeights, owner.side(), owner.side(), cluster)), "");
  cluster.denied_namespaces = {"a"};
  EXPECT_EQ(Cause(CheckMember(kWeights, guest.side(), kImport, cluster)), "namespace-denied");
}

TEST(CheckMember, IsTheHalfThatNeedsNoOtherPod) {
  const Asking guest("b", "a/weights:importer,mine");
  EXPECT_EQ(Cause(CheckMember(kWeights, guest.side(), kImport, Open())), "");
  EXPECT_EQ(Cause(CheckMember(kWeights, guest.side(), kExport, Open())), "role-denied");
  EXPECT_EQ(Cause(CheckMember(kWeights, guest.side(), kImport, {})), "cross-namespace-off");
  EXPECT_EQ(Cause(CheckMember({"b", "mine"}, guest.side(), kExport, {})), "");
  EXPECT_EQ(Cause(CheckMember({"b", "weights"}, guest.side(), kImport, Open())), "not-in-group");
}

TEST(CheckLeave, IsWhatTheOwnersPodSays) {
  const Asking guest("b", "a/weights");
  const auto leave = [&](const Asking& owner, ShareAction action) {
    return Cause(CheckLeave(kWeights, owner.side(), guest.pod, action));
  };
  EXPECT_EQ(leave({"a", "weights", "b"}, kImport), "");
  EXPECT_EQ(leave({"a", "weights", "b"}, kExport), "allowed-role-denied");
  EXPECT_EQ(leave({"a", "weights:importer", "b:exporter"}, kExport), "");
  EXPECT_EQ(leave({"a", "weights"}, kImport), "namespace-not-allowed");
  EXPECT_EQ(leave({"a", "other", "b"}, kImport), "not-in-group");
}

struct Export {
  const char* what;
  const char* max_bytes;
  uint64_t bytes;
  ExportUsage of_pod;
  ExportUsage of_node;
  const char* cause;
  const char* named;
};

TEST(CheckExport, HoldsToEveryCap) {
  ClusterPolicy cluster;
  cluster.max_bytes_per_pod = 1000;
  cluster.max_bytes_per_node = 2000;
  cluster.max_regions_per_pod = 2;
  cluster.max_regions_per_node = 3;
  const Export cases[] = {
      {"nothing yet", nullptr, 1000, {0, 0}, {0, 0}, "", ""},
      {"to the brim", nullptr, 400, {600, 1}, {1600, 2}, "", ""},
      {"one byte more than a pod may",
       nullptr,
       401,
       {600, 1},
       {600, 1},
       "byte-limit",
       "pod a/p may have 1k bytes exported (policy.maxBytesPerPod), has 600 and asks for 401 more"},
      {"one byte more than a node may",
       nullptr,
       401,
       {0, 0},
       {1600, 1},
       "byte-limit",
       "the node may have 2k bytes exported (policy.maxBytesPerNode)"},
      {"the pod's own limit",
       "500",
       501,
       {0, 0},
       {0, 0},
       "byte-limit",
       "pod a/p may have 500 bytes exported (its annotation npu-ipc.io/max-bytes)"},
      {"the pod's own limit is no leave for more",
       "5k",
       1001,
       {0, 0},
       {0, 0},
       "byte-limit",
       "policy.maxBytesPerPod"},
      {"a pod that exports nothing", "0", 1, {0, 0}, {0, 0}, "byte-limit", "may have 0 bytes"},
      {"a limit that was lowered meanwhile", "100", 1, {600, 1}, {600, 1}, "byte-limit", "has 600"},
      {"as many regions as a pod may",
       nullptr,
       1,
       {2, 2},
       {2, 2},
       "region-limit",
       "pod a/p may have 2 regions exported (policy.maxRegionsPerPod), has 2 and asks for 1 more"},
      {"as many regions as a node may",
       nullptr,
       1,
       {0, 0},
       {2, 3},
       "region-limit",
       "the node may have 3 regions"},
      {"no sum overflows", nullptr, UINT64_MAX, {1, 1}, {1, 1}, "byte-limit", ""},
  };
  for (const Export& test : cases) {
    Asking pod("a", "weights");
    if (test.max_bytes != nullptr) {
      pod.pod.annotations["npu-ipc.io/max-bytes"] = test.max_bytes;
      pod.policy = *ParsePolicy(pod.pod);
    }
    const auto refusal = CheckExport(pod.side(), test.bytes, test.of_pod, test.of_node, cluster);
    EXPECT_EQ(Cause(refusal), test.cause) << test.what;
    EXPECT_THAT(refusal ? refusal->message : "", HasSubstr(test.named)) << test.what;
  }
}

TEST(CheckExport, IsUnlimitedInBytesUnlessSomebodySaysOtherwise) {
  const Asking pod("a", "weights");
  EXPECT_EQ(Cause(CheckExport(pod.side(), UINT64_MAX - 1, {1, 1}, {1, 1}, {})), "");
}

TEST(RefusalCauseName, IsAnotherForEachCause) {
  std::set<std::string_view> names;
  for (int cause = 0; cause <= static_cast<int>(RefusalCause::kRegionLimit); ++cause) {
    names.insert(RefusalCauseName(static_cast<RefusalCause>(cause)));
  }
  EXPECT_EQ(names.size(), 9U);
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace npu_ipc::pods
