#include "plugin/identity/cgroup.h"

#include <gtest/gtest.h>

#include <string>

namespace npu_ipc::identity {
namespace {

const std::string kUid = "0c3a7074-41be-47d8-b6cb-a20a8f84383a";
const std::string kSystemdUid = "0c3a7074_41be_47d8_b6cb_a20a8f84383a";
const std::string kStaticUid = "6692aca748eb91429aeed74bd4135da2";
const std::string kOtherUid = "ffffffff-41be-47d8-b6cb-a20a8f84383a";
const std::string kId = "1216aca448b8d70f6d7b4f2ded54fe5329143750deb7569409647078e87bf128";
const std::string kOtherId(64, 'e');

struct Case {
  std::string name;
  std::string text;
  std::string pod_uid;  // empty: no pod
};

class CgroupText : public testing::TestWithParam<Case> {};

TEST_P(CgroupText, NamesThePodAndTheContainerOrNone) {
  const Result<ContainerCgroup> found = ParseCgroup(GetParam().text);
  if (GetParam().pod_uid.empty()) {
    ASSERT_FALSE(found.ok()) << found->pod_uid;
    EXPECT_EQ(found.status().code(), StatusCode::kNotFound);
    return;
  }
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->pod_uid, GetParam().pod_uid);
  EXPECT_EQ(found->container_id, kId);
}

const Case kContainers[] = {
    {"V1Cgroupfs",
     "9:name=systemd:/kubepods/besteffort/pod" + kUid + "/" + kId +
         "\n8:pids:/kubepods/besteffort/pod" + kUid + "/" + kId + "\n0::/kubepods/besteffort/pod" +
         kUid + "/" + kId + "\n",
     kUid},
    {"V1ControllersTogether", "4:cpu,cpuacct:/kubepods/burstable/pod" + kUid + "/" + kId, kUid},
    {"Guaranteed", "0::/kubepods/pod" + kUid + "/" + kId + "\n", kUid},
    {"StaticPod", "0::/kubepods/burstable/pod" + kStaticUid + "/" + kId, kStaticUid},
    {"HybridWithAnEmptyUnifiedLine",
     "3:memory:/kubepods/burstable/pod" + kUid + "/" + kId + "\n0::/\n", kUid},
    {"V2SystemdContainerd",
     "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kSystemdUid +
         ".slice/cri-containerd-" + kId + ".scope\n",
     kUid},
    {"V2SystemdCrio",
     "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + kSystemdUid +
         ".slice/crio-" + kId + ".scope",
     kUid},
    {"V2SystemdCrioContainerCgroup",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/crio-" + kId + ".scope/container",
     kUid},
    {"V1SystemdDocker",
     "2:memory:/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/docker-" + kId + ".scope",
     kUid},
    {"CrioCgroupfs", "0::/kubepods/besteffort/pod" + kUid + "/crio-" + kId, kUid},
    {"SystemdStaticPod",
     "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kStaticUid +
         ".slice/cri-containerd-" + kId + ".scope",
     kStaticUid},
    {"ContainerdCgroupfsBelowASystemdKubelet",
     "0::/system.slice/containerd.service/kubepods-besteffort-pod" + kSystemdUid +
         ".slice:cri-containerd:" + kId,
     kUid},
    {"KindOnSystemd",
     "0::/system.slice/docker-" + kOtherId +
         ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
         "kubelet-kubepods-besteffort-pod" +
         kSystemdUid + ".slice/cri-containerd-" + kId + ".scope",
     kUid},
    {"KindOnCgroupfs",
     "0::/docker/" + kOtherId + "/kubelet/kubepods/besteffort/pod" + kUid + "/" + kId, kUid},
    {"OwnCgroupRoot", "0::/npu-ipc-test-7/kubepods/burstable/pod" + kUid + "/" + kId, kUid},
    {"PrivateNamespaceSiblingPod", "4:memory:/../../pod" + kUid + "/" + kId, kUid},
    {"PrivateNamespaceOtherQualityOfService", "0::/../../../burstable/pod" + kUid + "/" + kId,
     kUid},
    {"PrivateNamespaceSystemd",
     "0::/../../kubepods-burstable-pod" + kSystemdUid + ".slice/cri-containerd-" + kId + ".scope",
     kUid},
    {"PrivateNamespaceSystemdOtherQualityOfService",
     "0::/../../../kubepods-besteffort.slice/kubepods-besteffort-pod" + kSystemdUid +
         ".slice/cri-containerd-" + kId + ".scope",
     kUid},
    {"PrivateNamespaceOfAHostService", "0::/../../kubepods/pod" + kUid + "/" + kId, kUid},
    {"ExecedProcessBelowTheContainer", "0::/kubepods/pod" + kUid + "/" + kId + "/exec", kUid},

    // A container with a writable cgroup names its children as it likes.
    {"ForgedPodFurtherDown",
     "0::/kubepods/pod" + kUid + "/" + kId + "/pod" + kOtherUid + "/" + kOtherId, kUid},
    {"ForgedKubepodsFurtherDown",
     "0::/kubepods/pod" + kUid + "/" + kId + "/kubepods/pod" + kOtherUid + "/" + kOtherId, kUid},
    {"ForgedKubepodsBelowAPrivateNamespace",
     "0::/../../pod" + kUid + "/" + kId + "/kubepods/pod" + kOtherUid + "/" + kOtherId, kUid},
    {"ForgedJoinedNameFurtherDown",
     "0::/kubepods/pod" + kUid + "/" + kId + "/kubepods-pod" + kOtherUid +
         ".slice:cri-containerd:" + kOtherId,
     kUid},
};
INSTANTIATE_TEST_SUITE_P(Container, CgroupText, testing::ValuesIn(kContainers),
                         [](const auto& test) { return test.param.name; });

const Case kNoContainers[] = {
    {"Empty", "", ""},
    {"Root", "0::/\n", ""},
    {"Garbage", "\n\n::\nkubepods\n", ""},
    {"HostService", "0::/system.slice/sshd.service", ""},
    {"DockerOutsideKubernetes", "0::/docker/" + kId, ""},
    {"PodWithoutContainer", "0::/kubepods/burstable/pod" + kUid, ""},
    {"KubepodsAlone", "0::/kubepods/burstable", ""},
    {"PodThatIsNotBelowKubepods", "0::/pod" + kUid + "/" + kId, ""},
    {"SomethingBetweenKubepodsAndThePod", "0::/kubepods/x/pod" + kUid + "/" + kId, ""},
    {"SomethingBetweenThePodAndTheContainer", "0::/kubepods/pod" + kUid + "/x/" + kId, ""},
    {"TwoQualitiesOfService", "0::/kubepods/burstable/burstable/pod" + kUid + "/" + kId, ""},
    {"ConmonIsNoContainer",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/crio-conmon-" + kId + ".scope", ""},
    {"UidTooShort", "0::/kubepods/pod" + kUid.substr(1) + "/" + kId, ""},
    {"UidNotHexadecimal", "0::/kubepods/podz" + kUid.substr(1) + "/" + kId, ""},
    {"UidDashesMisplaced", "0::/kubepods/pod0c3a-707441be-47d8-b6cb-a20a8f84383a/" + kId, ""},
    {"ContainerIdTooShort", "0::/kubepods/pod" + kUid + "/" + kId.substr(1), ""},
    {"ContainerIdUpperCase", "0::/kubepods/pod" + kUid + "/" + std::string(64, 'A'), ""},
    {"OtherContainerOfTheBrokersPod", "0::/../" + kId, ""},
    {"DotsFurtherDown", "0::/a/../pod" + kUid + "/" + kId, ""},
};
INSTANTIATE_TEST_SUITE_P(NoContainer, CgroupText, testing::ValuesIn(kNoContainers),
                         [](const auto& test) { return test.param.name; });

TEST(ParseCgroup, RefusesHierarchiesThatNameDifferentPods) {
  const Result<ContainerCgroup> found =
      ParseCgroup("2:memory:/kubepods/pod" + kUid + "/" + kId + "\n1:cpu:/kubepods/pod" +
                  kOtherUid + "/" + kId);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.status().code(), StatusCode::kPermissionDenied);
  EXPECT_NE(found.status().message().find(kUid), std::string::npos);
  EXPECT_NE(found.status().message().find(kOtherUid), std::string::npos);
}

TEST(ParseCgroup, RefusesHierarchiesThatNameDifferentContainersOfAPod) {
  const Result<ContainerCgroup> found =
      ParseCgroup("2:memory:/kubepods/pod" + kUid + "/" + kId + "\n1:cpu:/kubepods/pod" + kUid +
                  "/" + kOtherId);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.status().code(), StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace npu_ipc::identity
