#include "plugin/pods/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace npu_ipc::pods {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Pod Annotated(std::map<std::string, std::string> annotations) {
  Pod pod;
  pod.uid = "u-1";
  pod.pod_namespace = "team";
  pod.name = "trainer-0";
  pod.annotations = std::move(annotations);
  return pod;
}

TEST(ParsePolicy, ReadsGroupsAndRoles) {
  const auto policy = ParsePolicy(
      Annotated({{"npu-ipc.io/group", "weights, kv_cache.0:exporter ,logs:importer,all:both"}}));
  ASSERT_TRUE(policy.ok()) << policy.status().message();
  EXPECT_THAT(
      policy->groups,
      ElementsAre(Membership{"weights", Role::kBoth}, Membership{"kv_cache.0", Role::kExporter},
                  Membership{"logs", Role::kImporter}, Membership{"all", Role::kBoth}));
  EXPECT_EQ(policy->Find("logs")->role, Role::kImporter);
  EXPECT_EQ(policy->Find("other"), nullptr);
}

TEST(ParsePolicy, IgnoresOtherPeoplesAnnotationsAndTheDefaultInjection) {
  EXPECT_TRUE(ParsePolicy(Annotated({{"npu-ipc.io/group", "g"},
                                     {"npu-ipc.io/inject", "library"},
                                     {"npu-ipc.io.example/x", "y"},
                                     {"zzz/group", "::"}}))
                  .ok());
}

TEST(ParsePolicy, RolesAllowWhatTheySay) {
  EXPECT_TRUE(MayExport(Role::kExporter) && MayExport(Role::kBoth));
  EXPECT_TRUE(MayImport(Role::kImporter) && MayImport(Role::kBoth));
  EXPECT_FALSE(MayExport(Role::kImporter) || MayImport(Role::kExporter));
}

TEST(ParsePolicy, WithoutAGroupSaysWhatToAdd) {
  const auto policy = ParsePolicy(Annotated({{"other", "x"}}));
  ASSERT_FALSE(policy.ok());
  EXPECT_EQ(policy.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(policy.status().message(),
              HasSubstr("pod team/trainer-0 has no npu-ipc.io/group annotation; add one"));
}

struct Refused {
  std::string annotation;
  std::string value;
  StatusCode code;
  std::string named;
};

TEST(ParsePolicy, RefusesWhatIsWrongAndNamesIt) {
  const Refused cases[] = {
      {"group", "", StatusCode::kInvalidArgument, "is empty"},
      {"group", " ", StatusCode::kInvalidArgument, "is empty"},
      {"group", "a,", StatusCode::kInvalidArgument, "is empty"},
      {"group", "a,,b", StatusCode::kInvalidArgument, "is empty"},
      {"group", "a:reader", StatusCode::kInvalidArgument, "'a:reader' has an unknown role"},
      {"group", "a:", StatusCode::kInvalidArgument, "unknown role"},
      {"group", "a:Exporter", StatusCode::kInvalidArgument, "unknown role"},
      {"group", "a:importer:x", StatusCode::kInvalidArgument, "unknown role"},
      {"group", ":importer", StatusCode::kInvalidArgument, "no good group name"},
      {"group", "-a", StatusCode::kInvalidArgument, "no good group name"},
      {"group", "a b", StatusCode::kInvalidArgument, "no good group name"},
      {"group", "a\nb", StatusCode::kInvalidArgument, "no good group name"},
      {"group", std::string(128, 'a'), StatusCode::kInvalidArgument, "no good group name"},
      {"group", "a,a:importer", StatusCode::kInvalidArgument, "an entry before it has"},
      {"group", "other/a", StatusCode::kUnimplemented, "another namespace's group"},
      {"group", "a-$(labels['x'])", StatusCode::kUnimplemented, "$(labels['KEY'])"},
      {"allow-namespaces", "x", StatusCode::kUnimplemented, "not supported yet"},
      {"max-bytes", "1Gi", StatusCode::kUnimplemented, "not supported yet"},
      {"revoke", "rotate", StatusCode::kUnimplemented, "not supported yet"},
      {"inject", "preload", StatusCode::kUnimplemented, "'preload' is not supported yet"},
      {"inject", "prelaod", StatusCode::kInvalidArgument, "library or preload"},
      {"groups", "a", StatusCode::kInvalidArgument, "there is no such annotation"},
      {"", "a", StatusCode::kInvalidArgument, "there is no such annotation"},
  };
  for (const Refused& test : cases) {
    std::map<std::string, std::string> annotations = {{"npu-ipc.io/group", "good"}};
    annotations["npu-ipc.io/" + test.annotation] = test.value;
    const auto policy = ParsePolicy(Annotated(annotations));
    ASSERT_FALSE(policy.ok()) << test.annotation << ": " << test.value;
    EXPECT_EQ(policy.status().code(), test.code) << policy.status().message();
    EXPECT_THAT(policy.status().message(), HasSubstr(test.named));
    EXPECT_THAT(policy.status().message(),
                HasSubstr("pod team/trainer-0, annotation npu-ipc.io/" + test.annotation));
  }
}

TEST(ParsePolicy, AWrongAnnotationIsNamedEvenWhereNoGroupIs) {
  const auto policy = ParsePolicy(Annotated({{"npu-ipc.io/gruop", "weights"}}));
  EXPECT_EQ(policy.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(policy.status().message(), HasSubstr("npu-ipc.io/gruop"));
}

TEST(ParsePolicy, LimitsTheNumberOfGroups) {
  std::string value = "g0";
  for (int i = 1; i < 32; ++i) value += ",g" + std::to_string(i);
  EXPECT_TRUE(ParsePolicy(Annotated({{"npu-ipc.io/group", value}})).ok());
  const auto policy = ParsePolicy(Annotated({{"npu-ipc.io/group", value + ",one-more"}}));
  EXPECT_EQ(policy.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(policy.status().message(), HasSubstr("more than 32 groups"));
}

}  // namespace
}  // namespace npu_ipc::pods
