#include "plugin/pods/cluster_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "plugin/config/options.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::pods {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ClusterPolicyTest : public testing::Test {
 protected:
  ClusterPolicyTest() { AddClusterPolicyOptions(options_, &policy_); }

  Status Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "daemon");
    return options_.Parse(static_cast<int>(arguments.size()), arguments.data(), {}).status();
  }

  config::Options options_{"daemon", "A daemon.", "DAEMON"};
  ClusterPolicy policy_;
};

TEST_F(ClusterPolicyTest, IsStrictUnlessTheOperatorSaysOtherwise) {
  ASSERT_TRUE(Parse({}).ok());
  EXPECT_EQ(policy_, ClusterPolicy());
  EXPECT_FALSE(policy_.cross_namespace);
  EXPECT_FALSE(policy_.Denies("a"));
  EXPECT_FALSE(policy_.MayDisablePidValidation("a"));
  EXPECT_EQ(policy_.max_bytes_per_pod, config::kUnlimitedBytes);
}

TEST_F(ClusterPolicyTest, IsReadFromAFile) {
  const TemporaryDirectory temporary;
  std::ofstream(temporary.Path("config.json")) << R"({"policy": {
    "crossNamespace": true, "deniedNamespaces": ["kube-system", "b"],
    "pidValidationOffNamespaces": ["legacy"], "maxBytesPerPod": "16Gi", "maxBytesPerNode": 1024,
    "maxRegionsPerPod": 10, "maxRegionsPerNode": 0}})";
  ASSERT_TRUE(Parse({("--config=" + temporary.Path("config.json")).c_str()}).ok());
  EXPECT_TRUE(Check(policy_).ok());
  EXPECT_TRUE(policy_.cross_namespace);
  EXPECT_TRUE(policy_.Denies("kube-system") && policy_.Denies("b"));
  EXPECT_FALSE(policy_.Denies("kube"));
  EXPECT_TRUE(policy_.MayDisablePidValidation("legacy"));
  EXPECT_FALSE(policy_.MayDisablePidValidation("b"));
  EXPECT_EQ(policy_.max_bytes_per_pod, uint64_t{16} << 30);
  EXPECT_EQ(policy_.max_bytes_per_node, 1024U);
  EXPECT_EQ(policy_.max_regions_per_pod, 10);
  EXPECT_EQ(policy_.max_regions_per_node, 0);
}

TEST_F(ClusterPolicyTest, IsReadFromFlags) {
  ASSERT_TRUE(Parse({"--policy-cross-namespace", "--policy-denied-namespaces=a,b",
                     "--policy-max-bytes-per-node=500M", "--policy-max-bytes-per-pod=unlimited"})
                  .ok());
  EXPECT_TRUE(policy_.cross_namespace);
  EXPECT_TRUE(policy_.Denies("b"));
  EXPECT_EQ(policy_.max_bytes_per_node, 500'000'000U);
  EXPECT_EQ(policy_.max_bytes_per_pod, config::kUnlimitedBytes);
}

TEST_F(ClusterPolicyTest, RefusesCapsThatAreNoAmounts) {
  for (const char* flag : {"--policy-max-bytes-per-pod=16GiB", "--policy-max-bytes-per-pod=1.5",
                           "--policy-max-bytes-per-pod=-1", "--policy-max-regions-per-node=-1",
                           "--policy-max-regions-per-pod=1k"}) {
    const Status parsed = Parse({flag});
    EXPECT_EQ(parsed.code(), StatusCode::kInvalidArgument) << flag;
    EXPECT_THAT(parsed.message(), HasSubstr("is not accepted; accepted: ")) << flag;
  }
}

TEST_F(ClusterPolicyTest, RefusesWhatIsNoNamespace) {
  policy_.denied_namespaces = {"a", "*"};
  EXPECT_THAT(Check(policy_).message(),
              AllOf(HasSubstr("policy.deniedNamespaces: '*'"), HasSubstr("accepted: ")));
  policy_.denied_namespaces = {"a"};
  policy_.pid_validation_off_namespaces = {" a"};
  EXPECT_EQ(Check(policy_).code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(Check(policy_).message(), HasSubstr("policy.pidValidationOffNamespaces: ' a'"));
  policy_.pid_validation_off_namespaces = {""};
  EXPECT_FALSE(Check(policy_).ok());
}

TEST_F(ClusterPolicyTest, CanBeChangedWhileTheDaemonRuns) {
  ClusterPolicy in_force;
  config::Options before("daemon", "A daemon.", "DAEMON");
  AddClusterPolicyOptions(before, &in_force);
  ASSERT_TRUE(Parse({"--policy-cross-namespace", "--policy-max-bytes-per-pod=1Gi"}).ok());
  const config::Changes changes = options_.Adopt(before);
  EXPECT_THAT(changes.restart, testing::IsEmpty());
  EXPECT_THAT(changes.live,
              testing::UnorderedElementsAre("policy.crossNamespace: false -> true",
                                            "policy.maxBytesPerPod: \"unlimited\" -> \"1Gi\""));
}

}  // namespace
}  // namespace npu_ipc::pods
