// What the kubelet and the runtimes name, and what they do not.
#include "plugin/identity/cgroup.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/plugin/identity/cgroup_names.h"

namespace npu_ipc::identity {
namespace {

struct Case {
  std::string name;
  std::string text;
  std::string pod_uid = kUid;
};

class CgroupText : public testing::TestWithParam<Case> {};

TEST_P(CgroupText, NamesThePodAndTheContainer) {
  const Result<ContainerCgroup> found = ParseCgroup(GetParam().text);
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->pod_uid, GetParam().pod_uid);
  EXPECT_EQ(found->container_id, kId);
}

// The kubelet with the cgroupfs driver: /kubepods[/<qos>]/pod<uid>/<container>.
const Case kCgroupfs[] = {
    {"Guaranteed", "0::/kubepods/pod" + kUid + "/" + kId + "\n"},
    {"Burstable", "0::/kubepods/burstable/pod" + kUid + "/" + kId + "\n"},
    {"BestEffort", "0::/kubepods/besteffort/pod" + kUid + "/" + kId + "\n"},
    {"StaticPod", "0::/kubepods/burstable/pod" + kStaticUid + "/" + kId + "\n", kStaticUid},
    {"Crio", "0::/kubepods/besteffort/pod" + kUid + "/crio-" + kId + "\n"},
    {"K3sOnCgroupV2WithoutSystemd", "0::/kubepods/besteffort/pod" + kUid + "/" + kId + "\n"},
    {"V1", "12:pids:/kubepods/besteffort/pod" + kUid + "/" + kId +
               "\n11:perf_event:/kubepods/besteffort/pod" + kUid + "/" + kId +
               "\n4:cpu,cpuacct:/kubepods/besteffort/pod" + kUid + "/" + kId +
               "\n1:name=systemd:/kubepods/besteffort/pod" + kUid + "/" + kId + "\n"},
    {"V1WithAControllerThatTheRuntimeDoesNotKnow",
     "13:misc:/\n5:rdma:/\n2:memory:/kubepods/burstable/pod" + kUid + "/" + kId + "\n"},
    {"HybridWithTheUnifiedHierarchyInUse", "9:name=systemd:/kubepods/besteffort/pod" + kUid + "/" +
                                               kId + "\n8:pids:/kubepods/besteffort/pod" + kUid +
                                               "/" + kId + "\n0::/kubepods/besteffort/pod" + kUid +
                                               "/" + kId + "\n"},
    {"HybridWithAnEmptyUnifiedHierarchy",
     "3:memory:/kubepods/burstable/pod" + kUid + "/" + kId + "\n0::/\n"},
    {"HybridWithAUnifiedHierarchyOfTheHosts", "3:memory:/kubepods/burstable/pod" + kUid + "/" +
                                                  kId + "\n0::/system.slice/containerd.service\n"},
    {"CgroupRootOfTheKubelets", "0::/kubernetes/kubepods/burstable/pod" + kUid + "/" + kId + "\n"},
    {"LastLineWithoutItsNewline", "0::/kubepods/pod" + kUid + "/" + kId},
};
INSTANTIATE_TEST_SUITE_P(Cgroupfs, CgroupText, testing::ValuesIn(kCgroupfs),
                         [](const auto& test) { return test.param.name; });

// The kubelet with the systemd driver: each slice has the names of those above it.
const Case kSystemd[] = {
    {"GuaranteedContainerd",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/cri-containerd-" + kId + ".scope\n"},
    {"BurstableContainerd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" +
                                kSystemdUid + ".slice/cri-containerd-" + kId + ".scope\n"},
    {"BestEffortCrio", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" +
                           kSystemdUid + ".slice/crio-" + kId + ".scope\n"},
    {"CrioWithItsCgroupForTheContainer",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/crio-" + kId + ".scope/container\n"},
    {"Docker",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/docker-" + kId + ".scope\n"},
    {"Isulad",
     "0::/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/isulad-" + kId + ".scope\n"},
    {"StaticPod",
     "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kStaticUid +
         ".slice/cri-containerd-" + kId + ".scope\n",
     kStaticUid},
    {"V1Docker", "11:cpuset:/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/docker-" + kId +
                     ".scope\n2:memory:/kubepods.slice/kubepods-pod" + kSystemdUid +
                     ".slice/docker-" + kId +
                     ".scope\n1:name=systemd:/kubepods.slice/kubepods-pod" + kSystemdUid +
                     ".slice/docker-" + kId + ".scope\n"},
    {"HybridContainerd",
     "4:memory:/kubepods.slice/kubepods-pod" + kSystemdUid + ".slice/cri-containerd-" + kId +
         ".scope\n1:name=systemd:/kubepods.slice/kubepods-pod" + kSystemdUid +
         ".slice/cri-containerd-" + kId + ".scope\n0::/kubepods.slice/kubepods-pod" + kSystemdUid +
         ".slice/cri-containerd-" + kId + ".scope\n"},
    {"ContainerdWithItsOwnDriverCgroupfs",
     "0::/system.slice/containerd.service/kubepods-besteffort-pod" + kSystemdUid +
         ".slice:cri-containerd:" + kId + "\n"},
};
INSTANTIATE_TEST_SUITE_P(Systemd, CgroupText, testing::ValuesIn(kSystemd),
                         [](const auto& test) { return test.param.name; });

// A node that is a container itself.
const Case kNested[] = {
    {"KindOnSystemd",
     "0::/system.slice/docker-" + kOtherId +
         ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
         "kubelet-kubepods-besteffort-pod" +
         kSystemdUid + ".slice/cri-containerd-" + kId + ".scope\n"},
    {"KindOnCgroupfs",
     "0::/docker/" + kOtherId + "/kubelet/kubepods/besteffort/pod" + kUid + "/" + kId + "\n"},
    {"KindOnV1", "5:memory:/docker/" + kOtherId + "/kubelet/kubepods/burstable/pod" + kUid + "/" +
                     kId + "\n1:name=systemd:/docker/" + kOtherId +
                     "/kubelet/kubepods/burstable/pod" + kUid + "/" + kId + "\n"},
    {"NodeWithoutACgroupForTheKubelet",
     "0::/docker/" + kOtherId + "/kubepods/burstable/pod" + kUid + "/" + kId + "\n"},
    {"KubeletInAPodIsThatPod", "0::/kubepods/pod" + kUid + "/" + kId + "/docker/x/kubepods/pod" +
                                   kOtherUid + "/" + kOtherId + "\n"},
};
INSTANTIATE_TEST_SUITE_P(Nested, CgroupText, testing::ValuesIn(kNested),
                         [](const auto& test) { return test.param.name; });

// As a broker sees it that has a cgroup namespace of its own (what runtimes give on v2).
const Case kPrivateNamespace[] = {
    {"SameQualityOfService", "0::/../../pod" + kUid + "/" + kId + "\n"},
    {"OtherQualityOfService", "0::/../../../burstable/pod" + kUid + "/" + kId + "\n"},
    {"Guaranteed", "0::/../../../pod" + kUid + "/" + kId + "\n"},
    {"V1", "4:memory:/../../pod" + kUid + "/" + kId + "\n1:name=systemd:/../../pod" + kUid + "/" +
               kId + "\n"},
    {"SystemdSameQualityOfService", "0::/../../kubepods-burstable-pod" + kSystemdUid +
                                        ".slice/cri-containerd-" + kId + ".scope\n"},
    {"SystemdOtherQualityOfService",
     "0::/../../../kubepods-besteffort.slice/kubepods-besteffort-pod" + kSystemdUid +
         ".slice/cri-containerd-" + kId + ".scope\n"},
    {"SystemdGuaranteed",
     "0::/../../../kubepods-pod" + kSystemdUid + ".slice/crio-" + kId + ".scope\n"},
    {"Kind", "0::/../../kubelet-kubepods-burstable-pod" + kSystemdUid + ".slice/cri-containerd-" +
                 kId + ".scope\n"},
    {"OfAHostService", "0::/../../kubepods/pod" + kUid + "/" + kId + "\n"},
    {"OfAHostServiceBesideKind",
     "0::/../../kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + kSystemdUid +
         ".slice/cri-containerd-" + kId + ".scope\n"},
    {"ContainerdWithItsOwnDriverCgroupfs",
     "0::/../kubepods-besteffort-pod" + kSystemdUid + ".slice:cri-containerd:" + kId + "\n"},
};
INSTANTIATE_TEST_SUITE_P(PrivateNamespace, CgroupText, testing::ValuesIn(kPrivateNamespace),
                         [](const auto& test) { return test.param.name; });

std::string Nested(size_t levels) {
  std::string path;
  while (levels-- > 0) path += "/a";
  return path;
}

// A container with a writable cgroup names its children as it likes.
const Case kForgedFurtherDown[] = {
    {"Exec", "0::/kubepods/pod" + kUid + "/" + kId + "/exec\n"},
    {"Pod", "0::/kubepods/pod" + kUid + "/" + kId + "/pod" + kOtherUid + "/" + kOtherId + "\n"},
    {"Kubepods",
     "0::/kubepods/pod" + kUid + "/" + kId + "/kubepods/pod" + kOtherUid + "/" + kOtherId + "\n"},
    {"KubepodsBelowAPrivateNamespace",
     "0::/../../pod" + kUid + "/" + kId + "/kubepods/pod" + kOtherUid + "/" + kOtherId + "\n"},
    {"JoinedName", "0::/kubepods/pod" + kUid + "/" + kId + "/kubepods-pod" + kOtherUid +
                       ".slice:cri-containerd:" + kOtherId + "\n"},
    {"InOneHierarchyOnly", "2:memory:/kubepods/pod" + kUid + "/" + kId + "/kubepods/pod" +
                               kOtherUid + "/" + kOtherId + "\n1:cpu:/kubepods/pod" + kUid + "/" +
                               kId + "\n"},
    {"BytesThatAreNoText", "0::/kubepods/pod" + kUid + "/" + kId + "/\xff\xfe\x80\n"},
    {"AColon", "0::/kubepods/pod" + kUid + "/" + kId + "/0::\n"},
    {"ACarriageReturn", "0::/kubepods/pod" + kUid + "/" + kId + "/x\r\n"},
    {"UserSlice", "0::/kubepods/pod" + kUid + "/" + kId + "/user.slice\n"},
    {"AsDeepAsTheKernelLets", "0::/kubepods/pod" + kUid + "/" + kId + Nested(1950) + "\n"},
};
INSTANTIATE_TEST_SUITE_P(ForgedFurtherDown, CgroupText, testing::ValuesIn(kForgedFurtherDown),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace npu_ipc::identity
