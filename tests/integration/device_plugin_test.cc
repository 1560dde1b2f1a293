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
