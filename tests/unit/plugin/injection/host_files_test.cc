#include "plugin/injection/host_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::injection {

static void PrintTo(const Mount& mount, std::ostream* out) {
  *out << mount.host_path << " at " << mount.container_path << (mount.read_only ? " ro" : " rw");
}
static void PrintTo(const DeviceNode& node, std::ostream* out) {
  *out << node.host_path << " at " << node.container_path << " " << node.permissions;
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class DriverChangesTest : public ::testing::Test {
 protected:
  // A host whose root is a directory of the test's.
  void Have(const std::string& path) {
    const std::filesystem::path file = directory_.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << "x";
  }
  ContainerChanges Changes(const std::string& driver = kContainerDriverDirectory) const {
    return DriverChanges({driver, directory_.path() + "/"});
  }

  TemporaryDirectory directory_;
};

TEST_F(DriverChangesTest, GivesWhatTheHostHas) {
  Have("/usr/local/Ascend/driver/lib64/driver/libascend_hal.so");
  Have("/usr/local/Ascend/driver/version.info");
  Have("/usr/local/bin/npu-smi");
  Have("/etc/hccn.conf");
  Have("/dev/davinci_manager");
  Have("/dev/devmm_svm");
  Have("/dev/hisi_hdc");
  const ContainerChanges changes = Changes();
  EXPECT_THAT(changes.mounts,
              UnorderedElementsAre(
                  Mount{"/usr/local/Ascend/driver/lib64", "/usr/local/Ascend/driver/lib64", true},
                  Mount{"/usr/local/Ascend/driver/version.info",
                        "/usr/local/Ascend/driver/version.info", true},
                  Mount{"/usr/local/bin/npu-smi", "/usr/local/bin/npu-smi", true},
                  Mount{"/etc/hccn.conf", "/etc/hccn.conf", true}));
  EXPECT_THAT(changes.device_nodes,
              UnorderedElementsAre(DeviceNode{"/dev/davinci_manager", "/dev/davinci_manager", "rw"},
                                   DeviceNode{"/dev/devmm_svm", "/dev/devmm_svm", "rw"},
                                   DeviceNode{"/dev/hisi_hdc", "/dev/hisi_hdc", "rw"}));
  EXPECT_THAT(changes.environment, IsEmpty());
}

TEST_F(DriverChangesTest, GivesADriverOfAnotherPlaceAtTheConstantPath) {
  Have("/opt/driver/lib64/libdcmi.so");
  Have("/opt/driver/tools/hccn_tool");
  EXPECT_THAT(
      Changes("/opt/driver/").mounts,
      UnorderedElementsAre(Mount{"/usr/local/Ascend/driver/lib64", "/opt/driver/lib64", true},
                           Mount{"/usr/local/Ascend/driver/tools", "/opt/driver/tools", true}));
}

TEST_F(DriverChangesTest, TakesADirectoryWithoutLib64AsTheLibraries) {
  Have("/opt/libraries/libdcmi.so");
  EXPECT_THAT(Changes("/opt/libraries").mounts,
              ElementsAre(Mount{"/usr/local/Ascend/driver/lib64", "/opt/libraries", true}));
}

TEST_F(DriverChangesTest, GivesNothingOnAHostWithoutADriver) {
  EXPECT_THAT(Changes().mounts, IsEmpty());
  EXPECT_THAT(Changes().device_nodes, IsEmpty());
}

TEST(LibraryChangesTest, MountsReadOnlyAtConstantPathsAndSaysWhere) {
  const ContainerChanges changes = LibraryChanges("/store/0123", "/run/sockets");
  EXPECT_THAT(changes.mounts, ElementsAre(Mount{"/usr/local/lib/npu-ipc", "/store/0123", true},
                                          Mount{"/run/npu-ipc", "/run/sockets", true}));
  EXPECT_THAT(changes.environment,
              UnorderedElementsAre(Pair("NPU_IPC_LIBRARY", "/usr/local/lib/npu-ipc/libnpu_ipc.so"),
                                   Pair("NPU_IPC_SOCKET", "/run/npu-ipc/broker.sock")));
}

TEST(AppendTest, KeepsTheFirstOfTwoForOnePath) {
  ContainerChanges changes;
  changes.mounts = {{"/a", "/first", true}};
  changes.environment = {{"A", "first"}};
  ContainerChanges more;
  more.mounts = {{"/a", "/second", true}, {"/b", "/b", true}};
  more.device_nodes = {{"/dev/x", "/dev/x"}, {"/dev/x", "/dev/x"}};
  more.environment = {{"A", "second"}, {"B", "b"}};
  more.cdi_devices = {"vendor.com/class=x"};
  Append(changes, more);
  EXPECT_THAT(changes.mounts, ElementsAre(Mount{"/a", "/first", true}, Mount{"/b", "/b", true}));
  EXPECT_THAT(changes.device_nodes, ElementsAre(DeviceNode{"/dev/x", "/dev/x", "rw"}));
  EXPECT_THAT(changes.environment, UnorderedElementsAre(Pair("A", "first"), Pair("B", "b")));
  EXPECT_THAT(changes.cdi_devices, ElementsAre("vendor.com/class=x"));
}

}  // namespace
}  // namespace npu_ipc::injection
