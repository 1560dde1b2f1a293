// What names no container of a pod, and what contradicts itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "plugin/identity/cgroup.h"
#include "tests/unit/plugin/identity/cgroup_names.h"

namespace npu_ipc::identity {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kPod = "/pod" + kUid + "/" + kId;
const std::string kOtherPod = "/pod" + kOtherUid + "/" + kOtherId;

struct Case {
  std::string name;
  std::string text;
  std::string own = {};
};

class RefusedCgroupText : public testing::TestWithParam<Case> {
 protected:
  static void Expect(StatusCode code) {
    const Result<ContainerCgroup> found = ParseCgroup(GetParam().text, GetParam().own);
    ASSERT_FALSE(found.ok()) << found->pod_uid << " " << found->container_id;
    EXPECT_EQ(found.status().code(), code) << found.status().message();
  }
};

class NoContainer : public RefusedCgroupText {};
TEST_P(NoContainer, IsNamed) { Expect(StatusCode::kNotFound); }

const Case kNoContainers[] = {
    {"Empty", ""},
    {"Root", "0::/\n"},
    {"RootsOfV1", "4:memory:/\n1:name=systemd:/\n0::/\n"},
    {"HostService", "0::/system.slice/sshd.service\n"},
    {"DockerOutsideKubernetes", "0::/docker/" + kId + "\n"},
    {"DockerOutsideKubernetesWithSystemd", "0::/system.slice/docker-" + kId + ".scope\n"},
    {"PodWithoutContainer", "0::/kubepods/burstable/pod" + kUid + "\n"},
    {"KubepodsAlone", "0::/kubepods/burstable\n"},
    {"PodThatIsNotBelowKubepods", "0::" + kPod + "\n"},
    {"SomethingBetweenKubepodsAndThePod", "0::/kubepods/x" + kPod + "\n"},
    {"SomethingBetweenThePodAndTheContainer", "0::/kubepods/pod" + kUid + "/x/" + kId + "\n"},
    {"TwoQualitiesOfService", "0::/kubepods/burstable/burstable" + kPod + "\n"},
    {"ConmonWithSystemd",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/crio-conmon-" + kId + ".scope\n"},
    {"ConmonWithCgroupfs", "0::/kubepods/pod" + kUid + "/crio-conmon-" + kId + "\n"},
    {"ScopeOfAnUnknownRuntime",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/other-" + kId + ".scope\n"},
    {"UidTooShort", "0::/kubepods/pod" + kUid.substr(1) + "/" + kId + "\n"},
    {"UidNotHexadecimal", "0::/kubepods/podz" + kUid.substr(1) + "/" + kId + "\n"},
    {"UidUpperCase", "0::/kubepods/pod" + std::string(32, 'A') + "/" + kId + "\n"},
    {"UidDashesMisplaced", "0::/kubepods/pod0c3a-707441be-47d8-b6cb-a20a8f84383a/" + kId + "\n"},
    {"ContainerIdTooShort", "0::/kubepods/pod" + kUid + "/" + kId.substr(1) + "\n"},
    {"ContainerIdTooLong", "0::/kubepods/pod" + kUid + "/" + kId + "0\n"},
    {"ContainerIdUpperCase", "0::/kubepods/pod" + kUid + "/" + std::string(64, 'A') + "\n"},
    {"ContainerThatWasRemoved", "0::/kubepods" + kPod + " (deleted)\n"},
    {"CarriageReturn", "0::/kubepods" + kPod + "\r\n"},
    {"BytesThatAreNoText", "0::/kubepods/pod" + kUid + "/" + std::string(64, '\xff') + "\n"},
    {"PathCutOff", "0::/kubepods/pod" + kUid + "/" + kId.substr(0, 20)},
    {"OtherContainerOfTheReadersPod", "0::/../" + kId + "\n"},
    {"ParentOfTheReader", "0::/..\n"},
    {"KubeletOfTheReader", "0::/../../../../kubelet.slice\n"},
    {"DotsFurtherDown", "0::/a/.." + kPod + "\n"},
};
INSTANTIATE_TEST_SUITE_P(Text, NoContainer, testing::ValuesIn(kNoContainers),
                         [](const auto& test) { return test.param.name; });

// Cgroups that others than the kubelet fill as they like.
const std::string kOwnSystemd =
    "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/cri-containerd-" + kId + ".scope\n";
const Case kForgedFurtherUp[] = {
    {"ByAUserOfTheNode",
     "0::/user.slice/user-1000.slice/user@1000.service/app.slice/kubepods" + kOtherPod + "\n"},
    {"ByAUserOfTheNodeJoined", "0::/user.slice/user-1000.slice/user@1000.service/kubepods-pod" +
                                   kOtherUid + ".slice:cri-containerd:" + kOtherId + "\n"},
    {"ByAUserBelowAPrivateNamespace",
     "0::/../../../../user.slice/user-1000.slice/user@1000.service/kubepods" + kOtherPod + "\n"},
    {"ByAnotherContainerOfTheReadersPod", "0::/../" + kId + "/kubepods" + kOtherPod + "\n"},
    {"ByAServiceBelowAPrivateNamespace",
     "0::/../../../../system.slice/some.service/kubepods" + kOtherPod + "\n"},
    {"BelowTheKubeletsOwnService",
     "0::/../../../../kubelet.slice/kubelet.service/kubepods" + kOtherPod + "\n"},
    {"ByADockerContainer", "0::/docker/" + kOtherId + "/kubepods" + kOtherPod + "\n", kOwnSystemd},
    {"ByAServiceOfTheNode", "0::/system.slice/some.service/kubepods" + kOtherPod + "\n",
     kOwnSystemd},
    {"ByAnotherKubelet", "0::/docker/" + kOtherId + "/kubelet/kubepods" + kPod + "\n",
     "0::/docker/" + kId + "/kubelet/kubepods" + kPod + "\n"},
    {"ByADockerContainerInEachHierarchy",
     "2:memory:/docker/" + kOtherId + "/kubepods" + kOtherPod + "\n1:cpu:/docker/" + kOtherId +
         "/kubepods" + kOtherPod + "\n0::/\n",
     "2:memory:/kubepods" + kPod + "\n1:cpu:/kubepods" + kPod + "\n0::/\n"},
};
INSTANTIATE_TEST_SUITE_P(ForgedFurtherUp, NoContainer, testing::ValuesIn(kForgedFurtherUp),
                         [](const auto& test) { return test.param.name; });

class NoTextOfTheKernels : public RefusedCgroupText {};
TEST_P(NoTextOfTheKernels, IsRefusedWhole) { Expect(StatusCode::kInvalidArgument); }

const std::string kGood = "0::/kubepods" + kPod + "\n";
const Case kBroken[] = {
    {"Words", "kubepods\n"},
    {"NoNumber", "::/kubepods" + kPod + "\n"},
    {"NumberOfLetters", "x::/kubepods" + kPod + "\n"},
    {"NoPath", "0::\n"},
    {"LineCutOffInItsNumber", kGood + "1"},
    {"LineCutOffInItsControllers", kGood + "1:mem"},
    {"LineCutOffBeforeItsPath", kGood + "1:memory:"},
    {"PathThatDoesNotBeginAtTheRoot", "0::kubepods" + kPod + "\n"},
    {"CarriageReturnAlone", kGood + "\r\n"},
    {"Nul", std::string("\0", 1) + kGood},
    {"Binary",
     "\x7f"
     "ELF\x02\x01\x01" +
         kGood},
    {"TooLarge", kGood + "1:memory:/" + std::string(kMaxCgroupBytes, 'x') + "\n"},
    {"TooManyLines", kGood + std::string(kMaxCgroupBytes, '\n')},
};
INSTANTIATE_TEST_SUITE_P(Text, NoTextOfTheKernels, testing::ValuesIn(kBroken),
                         [](const auto& test) { return test.param.name; });

TEST(ParseCgroup, RefusesHierarchiesThatNameDifferentPods) {
  const Result<ContainerCgroup> found =
      ParseCgroup("2:memory:/kubepods" + kPod + "\n1:cpu:/kubepods" + kOtherPod + "\n");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(found.status().message(), AllOf(HasSubstr(kUid), HasSubstr(kOtherUid)));
}

TEST(ParseCgroup, RefusesHierarchiesThatNameDifferentContainersOfAPod) {
  const Result<ContainerCgroup> found =
      ParseCgroup("2:memory:/kubepods" + kPod + "\n1:cpu:/kubepods/pod" + kUid + "/" + kOtherId);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(found.status().message(), AllOf(HasSubstr(kId), HasSubstr(kOtherId)));
}

TEST(ParseCgroup, RefusesAV1HierarchyThatTheUnifiedOneContradicts) {
  const Result<ContainerCgroup> found =
      ParseCgroup("2:memory:/kubepods" + kPod + "\n0::/kubepods" + kOtherPod + "\n");
  EXPECT_EQ(found.status().code(), StatusCode::kPermissionDenied);
}

// The broker's own pod tells which kubelet's pods count.
TEST(ParseCgroup, TakesThePodsOfTheReadersKubelet) {
  const std::string node = "0::/docker/" + kOtherId + "/kubelet/kubepods";
  const std::string own = node + "/besteffort" + kOtherPod + "\n";
  const Result<ContainerCgroup> found = ParseCgroup(node + "/burstable" + kPod + "\n", own);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->pod_uid, kUid);
  EXPECT_TRUE(ParseCgroup(own, own).ok());
}

}  // namespace
}  // namespace npu_ipc::identity
