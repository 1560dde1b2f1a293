#include "plugin/pods/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace npu_ipc::pods {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Texts = std::map<std::string, std::string>;

Pod Annotated(Texts annotations, Texts labels = {}) {
  Pod pod;
  pod.uid = "u-1";
  pod.pod_namespace = "team";
  pod.name = "trainer-0";
  pod.annotations = std::move(annotations);
  pod.labels = std::move(labels);
  return pod;
}

Result<SharePolicy> ParseGroup(const std::string& value, Texts labels = {}) {
  return ParsePolicy(Annotated({{"npu-ipc.io/group", value}}, std::move(labels)));
}

// With a good group beside it.
Result<SharePolicy> ParseWith(const std::string& annotation, const std::string& value) {
  Texts annotations = {{"npu-ipc.io/group", "good"}};
  annotations["npu-ipc.io/" + annotation] = value;
  return ParsePolicy(Annotated(annotations));
}

TEST(ParsePolicy, ReadsGroupsAndRoles) {
  const auto policy = ParseGroup("weights, kv_cache.0:exporter ,logs : importer,all:both");
  ASSERT_TRUE(policy.ok()) << policy.status().message();
  EXPECT_THAT(policy->groups, ElementsAre(Membership{{"team", "weights"}, Role::kBoth},
                                          Membership{{"team", "kv_cache.0"}, Role::kExporter},
                                          Membership{{"team", "logs"}, Role::kImporter},
                                          Membership{{"team", "all"}, Role::kBoth}));
  EXPECT_EQ(policy->Find({"team", "logs"})->role, Role::kImporter);
  EXPECT_EQ(policy->Find({"team", "other"}), nullptr);
  EXPECT_EQ(policy->Find({"other", "logs"}), nullptr);
}

TEST(ParsePolicy, AGroupIsItsNamespacesAndItsName) {
  const auto policy = ParseGroup("weights:exporter, other/weights:importer, team/logs");
  ASSERT_TRUE(policy.ok()) << policy.status().message();
  EXPECT_THAT(policy->groups, ElementsAre(Membership{{"team", "weights"}, Role::kExporter},
                                          Membership{{"other", "weights"}, Role::kImporter},
                                          Membership{{"team", "logs"}, Role::kBoth}));
  EXPECT_EQ(GroupNames(Annotated({}), *policy), "weights, other/weights, logs");
}

TEST(ParsePolicy, LabelsBecomePartsOfNames) {
  const Texts labels = {{"app", "llm"}, {"apps.kubernetes.io/pod-index", "3"}, {"case", "A_b.c"}};
  const std::pair<const char*, GroupId> cases[] = {
      {"$(labels['app'])", {"team", "llm"}},
      {"w-$(labels['apps.kubernetes.io/pod-index'])", {"team", "w-3"}},
      {"$(labels['app'])-$(labels['apps.kubernetes.io/pod-index']).x", {"team", "llm-3.x"}},
      {"$(labels['app'])$(labels['case'])", {"team", "llmA_b.c"}},
      {"other/w-$(labels['apps.kubernetes.io/pod-index'])", {"other", "w-3"}},
  };
  for (const auto& [value, group] : cases) {
    const auto policy = ParseGroup(std::string(value) + ":importer", labels);
    ASSERT_TRUE(policy.ok()) << policy.status().message();
    EXPECT_THAT(policy->groups, ElementsAre(Membership{group, Role::kImporter}));
  }
}

struct RefusedGroup {
  std::string value;
  std::string named;
};

TEST(ParsePolicy, ALabelNeverBecomesMoreThanPartOfAName) {
  const Texts labels = {{"slash", "other/weights"},
                        {"role", "w:exporter"},
                        {"comma", "a,b"},
                        {"empty", ""},
                        {"dash", "-"},
                        {"again", "$(labels['app'])"},
                        {"app", "llm"},
                        {"long", std::string(120, 'x')}};
  const RefusedGroup cases[] = {
      {"$(labels['slash'])", "becomes 'other/weights' with its labels, which is no group name"},
      {"$(labels['role'])", "becomes 'w:exporter' with its labels"},
      {"$(labels['comma'])", "becomes 'a,b' with its labels"},
      {"w$(labels['dash'])", "becomes 'w-' with its labels"},
      {"$(labels['again'])", "becomes '$(labels['app'])' with its labels"},
      {"$(labels['long'])-12345678", "with its labels, which is no group name"},
      {"w$(labels['empty'])", "needs the label 'empty', which the pod has without a value"},
      {"w-$(labels['missing'])", "needs the label 'missing', which the pod does not have"},
      {"w-$(labels[''])", "needs the label '', which the pod does not have"},
      {"$(labels['app']", "other than $(labels['KEY'])"},
      {"$(labels[\"app\"])", "other than $(labels['KEY'])"},
      {"$(labels[app])", "other than $(labels['KEY'])"},
      {"$(labels['])", "other than $(labels['KEY'])"},
      {"$(annotations['app'])", "other than $(labels['KEY'])"},
      {"$(metadata.labels['app'])", "other than $(labels['KEY'])"},
      {"$()", "other than $(labels['KEY'])"},
      {"w-$(", "other than $(labels['KEY'])"},
      {"$labels['app']", "has no good group name"},
      {"$(labels['app'])/w", "no good namespace before the slash"},
      {"w:$(labels['app'])", "unknown role"},
  };
  for (const RefusedGroup& test : cases) {
    const auto policy = ParseGroup(test.value, labels);
    ASSERT_FALSE(policy.ok()) << test.value;
    EXPECT_EQ(policy.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(policy.status().message(), HasSubstr(test.named));
    EXPECT_THAT(policy.status().message(),
                HasSubstr("pod team/trainer-0, annotation npu-ipc.io/group: entry "));
    EXPECT_THAT(policy.status().message(), HasSubstr("; accepted: [namespace/]name[:role]"));
  }
}

TEST(ParsePolicy, TwoNamesThatExpandToOneGroupAreOneTooMany) {
  const auto policy = ParseGroup("llm, $(labels['app']):importer", {{"app", "llm"}});
  ASSERT_FALSE(policy.ok());
  EXPECT_THAT(policy.status().message(), HasSubstr("names a group that an entry before it has"));
}

TEST(ParsePolicy, ReadsAllowedNamespaces) {
  const auto policy = ParseWith("allow-namespaces", "a, b-2:exporter,c : both , d:importer");
  ASSERT_TRUE(policy.ok()) << policy.status().message();
  EXPECT_THAT(
      policy->allowed_namespaces,
      ElementsAre(AllowedNamespace{"a", Role::kImporter}, AllowedNamespace{"b-2", Role::kExporter},
                  AllowedNamespace{"c", Role::kBoth}, AllowedNamespace{"d", Role::kImporter}));
  EXPECT_EQ(policy->FindAllowed("c")->role, Role::kBoth);
  EXPECT_EQ(policy->FindAllowed("e"), nullptr);
  EXPECT_EQ(policy->FindAllowed(""), nullptr);
}

TEST(ParsePolicy, ReadsTheOtherAnnotations) {
  const auto defaults = ParseGroup("g");
  ASSERT_TRUE(defaults.ok());
  EXPECT_EQ(defaults->max_bytes, std::nullopt);
  EXPECT_EQ(defaults->revoke, RevokeMode::kNotify);
  EXPECT_EQ(defaults->inject, InjectMode::kLibrary);
  EXPECT_TRUE(defaults->allowed_namespaces.empty());

  EXPECT_EQ(ParseWith("max-bytes", " 16Gi ")->max_bytes, uint64_t{16} << 30);
  EXPECT_EQ(ParseWith("max-bytes", "0")->max_bytes, 0U);
  EXPECT_EQ(ParseWith("revoke", "notify")->revoke, RevokeMode::kNotify);
  EXPECT_EQ(ParseWith("revoke", " rotate\n")->revoke, RevokeMode::kRotate);
  EXPECT_EQ(ParseWith("inject", "library")->inject, InjectMode::kLibrary);
  EXPECT_EQ(ParseWith("inject", "preload")->inject, InjectMode::kPreload);
}

TEST(ParsePolicy, IgnoresOtherPeoplesAnnotations) {
  EXPECT_TRUE(ParsePolicy(Annotated({{"npu-ipc.io/group", "g"},
                                     {"npu-ipc.io.example/x", "y"},
                                     {"example.npu-ipc.io/group", ":"},
                                     {"npu-ipc.io", "y"},
                                     {"zzz/group", "::"}}))
                  .ok());
}

TEST(ParsePolicy, RolesAllowWhatTheySay) {
  EXPECT_TRUE(MayExport(Role::kExporter) && MayExport(Role::kBoth));
  EXPECT_TRUE(MayImport(Role::kImporter) && MayImport(Role::kBoth));
  EXPECT_FALSE(MayExport(Role::kImporter) || MayImport(Role::kExporter));
}

TEST(ParsePolicy, WithoutAGroupSaysWhatToAdd) {
  const auto policy = ParsePolicy(Annotated({{"other", "x"}, {"npu-ipc.io/revoke", "notify"}}));
  ASSERT_FALSE(policy.ok());
  EXPECT_EQ(policy.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(policy.status().message(),
              HasSubstr("pod team/trainer-0 has no npu-ipc.io/group annotation; add one"));
}

struct Refused {
  std::string annotation;
  std::string value;
  std::string named;
};

TEST(ParsePolicy, RefusesWhatIsWrongAndNamesIt) {
  const std::string group_form = "accepted: [namespace/]name[:role], comma-separated";
  const std::string allowed_form = "accepted: namespace[:role], comma-separated";
  const Refused cases[] = {
      {"group", "", "is empty"},
      {"group", " ", "is empty"},
      {"group", ",", "is empty"},
      {"group", "a,", group_form},
      {"group", "a,,b", "is empty"},
      {"group", "a:reader", "'a:reader' has an unknown role"},
      {"group", "a:", "unknown role"},
      {"group", "a:Exporter", "unknown role"},
      {"group", "a:importer:x", "unknown role"},
      {"group", "a:importer exporter", "unknown role"},
      {"group", ":importer", "no good group name"},
      {"group", "-a", "no good group name"},
      {"group", "a-", "no good group name"},
      {"group", ".", "no good group name"},
      {"group", "a b", "no good group name"},
      {"group", "a\nb", "entry 'a?b' has no good group name"},
      {"group", "a\xc3\xa9", "entry 'a?\?' has no good group name"},
      {"group", std::string("a\0b", 3), "entry 'a?b'"},
      {"group", std::string(128, 'a'), "no good group name"},
      {"group", "*", "no good group name"},
      {"group", "a,a:importer", "an entry before it has"},
      {"group", "a,team/a", "an entry before it has"},
      {"group", "other/a,other/a", "an entry before it has"},
      {"group", "/a", "no good namespace before the slash"},
      {"group", "Other/a", "no good namespace before the slash"},
      {"group", "*/a", "no good namespace before the slash"},
      {"group", "o_o/a", "no good namespace before the slash"},
      {"group", std::string(64, 'n') + "/a", "no good namespace before the slash"},
      {"group", "other/", "no good group name"},
      {"group", "other/a/b", "no good group name"},
      {"group", std::string(63, 'n') + "/" + std::string(64, 'a'), "is too long"},
      {"allow-namespaces", "", "is empty"},
      {"allow-namespaces", "a,", allowed_form},
      {"allow-namespaces", "*", "allows everybody: name each namespace"},
      {"allow-namespaces", "*:importer", "allows everybody"},
      {"allow-namespaces", "a*", "no good namespace's name"},
      {"allow-namespaces", "A", "no good namespace's name"},
      {"allow-namespaces", "a/b", "no good namespace's name"},
      {"allow-namespaces", "$(labels['a'])", "no good namespace's name"},
      {"allow-namespaces", "a b", "no good namespace's name"},
      {"allow-namespaces", std::string(64, 'a'), "no good namespace's name"},
      {"allow-namespaces", "a:all", "unknown role"},
      {"allow-namespaces", "a:", "unknown role"},
      {"allow-namespaces", "a,b,a:exporter", "an entry before it has"},
      {"allow-namespaces", "team", "is the pod's own namespace"},
      {"allow-namespaces", "team:exporter", "is the pod's own namespace"},
      {"max-bytes", "", "accepted: a Kubernetes quantity of whole bytes"},
      {"max-bytes", "16GiB", "value '16GiB'; accepted: a Kubernetes quantity"},
      {"max-bytes", "-1", "a Kubernetes quantity"},
      {"max-bytes", "1.5", "a Kubernetes quantity"},
      {"max-bytes", "100m", "a Kubernetes quantity"},
      {"max-bytes", "unlimited", "a Kubernetes quantity"},
      {"max-bytes", "16Gi,1", "a Kubernetes quantity"},
      {"revoke", "", "accepted: notify or rotate"},
      {"revoke", "Rotate", "value 'Rotate'; accepted: notify or rotate"},
      {"revoke", "notify,rotate", "notify or rotate"},
      {"inject", "", "accepted: library or preload"},
      {"inject", "prelaod", "value 'prelaod'; accepted: library or preload"},
      {"groups", "a", "there is no such annotation; there are group, allow-namespaces"},
      {"Group", "a", "there is no such annotation"},
      {"group ", "a", "there is no such annotation"},
      {"", "a", "there is no such annotation"},
  };
  for (const Refused& test : cases) {
    const auto policy = ParseWith(test.annotation, test.value);
    ASSERT_FALSE(policy.ok()) << test.annotation << ": " << test.value;
    EXPECT_EQ(policy.status().code(), StatusCode::kInvalidArgument) << policy.status().message();
    EXPECT_THAT(policy.status().message(), HasSubstr(test.named));
    EXPECT_THAT(policy.status().message(),
                HasSubstr("pod team/trainer-0, annotation npu-ipc.io/" + test.annotation + ": "));
  }
}

TEST(ParsePolicy, AWrongAnnotationIsNamedEvenWhereNoGroupIs) {
  const auto policy = ParsePolicy(Annotated({{"npu-ipc.io/gruop", "weights"}}));
  EXPECT_EQ(policy.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(policy.status().message(), HasSubstr("npu-ipc.io/gruop"));
}

std::string Numbered(const std::string& prefix, int count) {
  std::string value = prefix + "0";
  for (int i = 1; i < count; ++i) value += "," + prefix + std::to_string(i);
  return value;
}

TEST(ParsePolicy, LimitsTheNumberOfEntries) {
  EXPECT_EQ(ParseWith("group", Numbered("g", 32))->groups.size(), 32U);
  EXPECT_THAT(ParseWith("group", Numbered("g", 33)).status().message(),
              HasSubstr("more than 32 entries"));
  EXPECT_EQ(ParseWith("allow-namespaces", Numbered("n", 64))->allowed_namespaces.size(), 64U);
  EXPECT_THAT(ParseWith("allow-namespaces", Numbered("n", 65)).status().message(),
              HasSubstr("more than 64 entries"));
}

TEST(ParsePolicy, QuotesOnlyTheBeginningOfWhatIsLong) {
  const auto policy = ParseGroup(std::string(200'000, '-'));
  ASSERT_FALSE(policy.ok());
  EXPECT_LT(policy.status().message().size(), 600U);
  EXPECT_THAT(policy.status().message(), HasSubstr("---...'"));
}

TEST(ParsePolicy, TakesTheLongestNames) {
  EXPECT_TRUE(ParseGroup(std::string(127, 'a')).ok());
  EXPECT_TRUE(ParseGroup(std::string(63, 'n') + "/" + std::string(63, 'a')).ok());
}

TEST(ParseGroupId, IsOfTheOwnNamespaceUnlessAnotherIsNamed) {
  EXPECT_EQ(ParseGroupId("weights", "team"), (GroupId{"team", "weights"}));
  EXPECT_EQ(ParseGroupId("other/weights", "team"), (GroupId{"other", "weights"}));
  for (const char* text : {"", "/", "a/", "/a", "a/b/c", " a", "a:both", "A/b", "$(labels['a'])"}) {
    EXPECT_EQ(ParseGroupId(text, "team"), std::nullopt) << text;
  }
}

// Texts that are nearly right, in any order. Whatever is accepted must be sound.
TEST(ParsePolicy, HoldsAgainstRandomAnnotations) {
  const char* const kParts[] = {"group",   "weights", "other",      "/",        ":",
                                ",",       " ",       "*",          "importer", "exporter",
                                "both",    "$(",      "$(labels['", "'])",      "app",
                                "a",       "team",    "16Gi",       "-",        "0",
                                "\n",      "\xff",    "\xe2\x82",   "notify",   "$(labels['app'])",
                                "preload", ")",       "'",          "]",        "."};
  const char* const kNames[] = {"group",  "allow-namespaces", "max-bytes",
                                "revoke", "inject",           "groups"};
  std::minstd_rand random(20'261'121);
  const auto below = [&random](size_t limit) { return random() % limit; };
  size_t accepted = 0;
  for (int round = 0; round < 50'000; ++round) {
    Texts annotations;
    const size_t count = 1 + below(3);
    for (size_t i = 0; i < count; ++i) {
      std::string value;
      for (size_t parts = below(7); parts > 0; --parts) value += kParts[below(std::size(kParts))];
      annotations["npu-ipc.io/" + std::string(kNames[below(below(8) == 0 ? 6 : 5)])] = value;
    }
    const bool unknown = annotations.contains("npu-ipc.io/groups");
    const Pod pod = Annotated(annotations, {{"app", below(2) == 0 ? "llm" : "/:,"}});
    const auto policy = ParsePolicy(pod);
    if (!policy.ok()) {
      EXPECT_THAT(policy.status().message(), HasSubstr("team/trainer-0"));
      EXPECT_THAT(policy.status().message(), Not(HasSubstr("\n")));
      EXPECT_THAT(policy.status().message(), Not(HasSubstr("\xff")));
      continue;
    }
    ++accepted;
    EXPECT_FALSE(unknown);
    EXPECT_TRUE(annotations.contains("npu-ipc.io/group"));
    for (const Membership& membership : policy->groups) {
      EXPECT_EQ(ParseGroupId(membership.group.Text(), "x"), membership.group);
      EXPECT_EQ(policy->Find(membership.group), &membership);
    }
    for (const AllowedNamespace& allowed : policy->allowed_namespaces) {
      EXPECT_EQ(policy->FindAllowed(allowed.name), &allowed);
      EXPECT_NE(allowed.name, "team");
    }
    EXPECT_EQ(*policy, *ParsePolicy(pod));
  }
  EXPECT_GT(accepted, 100U);  // else the parts above are of no use
}

}  // namespace
}  // namespace npu_ipc::pods
