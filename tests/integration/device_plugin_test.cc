// What the device plugin's answers come to in a container, and the plugin beside its kubelet.
#include <sstream>
#include <vector>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;
using testing::UnorderedElementsAre;

using DevicePlugin = NodeTest;

TEST_F(DevicePlugin, GivesTheChosenDeviceTheControlNodesAndNoOther) {
  EXPECT_THAT(
      RunShell(Allocation(2),
               "cd /dev && ls -d *davinci* *svm* *hisi* *hdc* 2>&1 | grep -v cannot | sort -u"),
      UnorderedElementsAre("davinci2", "davinci_manager", "devmm_svm", "hisi_hdc"));
}

TEST_F(DevicePlugin, AddsTwoVariablesToTheEnvironment) {
  EXPECT_THAT(RunShell(Allocation(0), "tr '\\0' '\\n' </proc/1/environ"),
              UnorderedElementsAre(HasSubstr("PATH=/usr/local/bin"), HasSubstr("LD_LIBRARY_PATH="),
                                   HasSubstr("HOME="), "NPU_IPC_SOCKET=/run/npu-ipc/broker.sock",
                                   "NPU_IPC_LIBRARY=/usr/local/lib/npu-ipc/libnpu_ipc.so"));
}

TEST_F(DevicePlugin, GivesDirectoriesThatAContainerCannotChange) {
  const std::vector<std::string> tries = RunShell(Allocation(0), R"(
    for directory in /usr/local/lib/npu-ipc /run/npu-ipc /usr/local/Ascend/driver/lib64; do
      touch $directory/mine 2>&1
      rm -f $directory/*.s* 2>&1 | head -n 1
      mount -o remount,rw,bind $directory 2>&1 | head -n 1
    done)");
  EXPECT_THAT(tries, SizeIs(9));
  EXPECT_THAT(tries, Each(testing::AnyOf(HasSubstr("Read-only file system"),
                                         HasSubstr("permission denied"))));
  EXPECT_THAT(StartMember("next", "weights", 1).Do("whoami"), IsOk());
}

// Each is recorded on gRPC's thread while the daemon's own describes those before it.
TEST_F(DevicePlugin, AnswersAllocatesInQuickSuccession) {
  for (int i = 0; i < 400; ++i) Allocation(i % 8);
  EXPECT_TRUE(node().device_plugin().Running()) << node().Log("device-plugin");
}

TEST_F(DevicePlugin, SharesACardWithNoSecondContainer) {
  RemoteParty first = StartMember("first", "weights", 0);
  const PodRecord pod = NewPod("second", "weights");
  auto container = node().Run(pod, Allocation(0), {"npu-ipc-party"});
  ASSERT_TRUE(container.ok()) << container.status().message();
  RemoteParty second(pod, std::move(*container));
  EXPECT_THAT(second.Do("device 0"), IsVendorError());
  EXPECT_THAT(first.Do("malloc mine 4194304"), IsOk());

  second.Kill();
  first.Kill();
  RemoteParty third = Start(pod, 0);
  EXPECT_THAT(third.Do("malloc mine 4194304"), IsOk());
}

class SharedCards : public NodeTest {
 protected:
  std::vector<std::string> PluginFlags() const override {
    return {"--sharing-replicas=2", "--sharing-manage-device-share", "--health-poll-interval=20ms"};
  }
  size_t Replicas() const override { return 2; }
};

// The driver's device-share is off at first: they are healthy once the plugin has switched it on.
TEST_F(SharedCards, AreGivenToTwoContainersAtOnce) {
  std::vector<RemoteParty> parties;
  for (const char* id : {"npu-0::0", "npu-0::1"}) {
    const auto allocation = node().Allocate({id});
    ASSERT_TRUE(allocation.ok()) << allocation.status().message();
    const PodRecord pod = NewPod(id, "weights");
    auto container = node().Run(pod, *allocation, {"npu-ipc-party"});
    ASSERT_TRUE(container.ok()) << container.status().message();
    parties.emplace_back(pod, std::move(*container));
    EXPECT_THAT(parties.back().Do("device 0"), IsOk());
  }
  for (RemoteParty& party : parties) {
    EXPECT_THAT(party.Do("malloc mine 4194304"), IsOk());
    EXPECT_THAT(party.Do("open"), IsOk());
  }
  Publish(parties[0], "shard", 100);
  EXPECT_THAT(parties[1].Do("attach shard 10000"), IsOk());
  EXPECT_THAT(parties[1].Do("read shard"), IsPattern(100));
}

class AscendRuntime : public NodeTest {
 protected:
  std::vector<std::string> PluginFlags() const override {
    return {"--injection-mode=ascend-runtime"};
  }
};

// The rest is the Ascend Docker Runtime's to do, and none is installed here.
TEST_F(AscendRuntime, GetsTheChoiceOfDevicesAndTheLibrary) {
  const auto allocation = node().Allocate({"npu-5", "npu-2"});
  ASSERT_TRUE(allocation.ok()) << allocation.status().message();
  EXPECT_THAT(RunShell(*allocation, R"(
                tr '\0' '\n' </proc/1/environ | grep -E '^(ASCEND|NPU_IPC)'
                ls /dev | grep davinci
                ls /usr/local/lib/npu-ipc /run/npu-ipc)"),
              testing::IsSupersetOf({"ASCEND_VISIBLE_DEVICES=2,5", "ASCEND_RUNTIME_OPTIONS=",
                                     "NPU_IPC_SOCKET=/run/npu-ipc/broker.sock",
                                     "NPU_IPC_LIBRARY=/usr/local/lib/npu-ipc/libnpu_ipc.so",
                                     "libnpu_ipc.so", "broker.sock"}));
  EXPECT_TRUE(allocation->at("devices").empty());
}

TEST_F(DevicePlugin, RegistersAgainWithARestartedKubelet) {
  RemoteParty before = StartMember("before", "weights", 0);
  Publish(before, "shard", 100);
  const Status restarted = node().RestartKubelet();
  ASSERT_TRUE(restarted.ok()) << restarted.message();
  RemoteParty after = StartMember("after", "weights", 1);
  EXPECT_THAT(after.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(after.Do("read shard"), IsPattern(100));
}

}  // namespace
}  // namespace npu_ipc
