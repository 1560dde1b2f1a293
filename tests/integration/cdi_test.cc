// What reaches a container by CDI: the plugin's spec, and a runtime that applies it.
#include "tests/fixtures/cdi.h"

#include <filesystem>
#include <vector>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::UnorderedElementsAre;

class Cdi : public NodeTest {
 protected:
  std::vector<std::string> PluginFlags() const override {
    return {"--injection-mode=cdi", std::string("--injection-cdi-directory=") + kCdiDirectory};
  }
};

TEST_F(Cdi, GivesTheChosenDeviceTheControlNodesAndNoOther) {
  const nlohmann::json allocation = Allocation(2);
  EXPECT_THAT(allocation.at("cdi_devices"), ElementsAre("npu-ipc.io/npu=npu-2"));
  EXPECT_TRUE(allocation.at("devices").empty()) << "all by name";
  EXPECT_THAT(
      RunShell(allocation,
               "cd /dev && ls -d *davinci* *svm* *hisi* *hdc* 2>&1 | grep -v cannot | sort -u"),
      UnorderedElementsAre("davinci2", "davinci_manager", "devmm_svm", "hisi_hdc"));
}

TEST_F(Cdi, GivesTheDriversFilesReadOnlyAndTheLibraryBeside) {
  const std::vector<std::string> lines = RunShell(Allocation(0), R"(
    ls /usr/local/Ascend/driver/lib64 /usr/local/lib/npu-ipc
    touch /usr/local/Ascend/driver/lib64/mine 2>&1
    grep ' /usr/local/Ascend/driver/lib64 ' /proc/self/mounts | cut -d' ' -f4)");
  EXPECT_THAT(lines, IsSupersetOf({std::string("libascendcl.so"), std::string("libnpu_ipc.so")}));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("Read-only file system")));
  EXPECT_THAT(lines.back(),
              testing::AllOf(HasSubstr("ro,"), HasSubstr("nosuid"), HasSubstr("nodev")));
}

TEST_F(Cdi, SharesMemoryBetweenPodsAsInOtherModes) {
  RemoteParty exporter = StartMember("exporter", "weights", 0);
  Publish(exporter, "shard", 100);
  RemoteParty importer = StartMember("importer", "weights", 1);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
}

// The kubelet replays the answer: the runtime looks the name up once more, maybe with no plugin
// there.
TEST_F(Cdi, RestartsAContainerWhileThePluginIsAway) {
  const nlohmann::json allocation = Allocation(3);
  node().device_plugin().Signal(SIGTERM);
  const Result<int> ended = node().device_plugin().Wait();
  ASSERT_TRUE(ended.ok()) << ended.status().message();
  EXPECT_EQ(*ended, 0);
  EXPECT_THAT(RunShell(allocation, "ls /dev/davinci*"),
              UnorderedElementsAre("/dev/davinci3", "/dev/davinci_manager"));
}

TEST_F(Cdi, RefusesANameThatStandsForNothing) {
  nlohmann::json allocation = Allocation(0);
  allocation["cdi_devices"].push_back("npu-ipc.io/npu=npu-99");
  EXPECT_THAT(ExpandCdiDevices(kCdiDirectory, allocation).status().message(),
              HasSubstr("unresolvable CDI devices \"npu-ipc.io/npu=npu-99\""));
}

}  // namespace
}  // namespace npu_ipc
