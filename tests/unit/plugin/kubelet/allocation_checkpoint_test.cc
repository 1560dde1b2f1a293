#include "plugin/kubelet/allocation_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::kubelet {
namespace {

using ::testing::HasSubstr;

// As kubelet 1.36 writes it. The answers: a mount of /var/lib/npu-ipc/lib/0123456789abcdef, and the
// CDI device npu-ipc.io/npu=npu-3.
constexpr char kCheckpoint[] = R"({"Data":{"PodDeviceEntries":[
  {"PodUID":"0c3a7074-41be-47d8-b6cb-a20a8f84383a","ContainerName":"main",
   "ResourceName":"npu-ipc.io/share","DeviceIDs":{"-1":["share-7"]},
   "AllocResp":
   "EkEKFi91c3IvbG9jYWwvbGliL25wdS1pcGMSJS92YXIvbGliL25wdS1pcGMvbGliLzAxMjM0NTY3ODlhYmNkZWYYAQ=="},
  {"PodUID":"6692aca748eb91429aeed74bd4135da2","ContainerName":"main",
   "ResourceName":"huawei.com/Ascend910B","DeviceIDs":{"0":["npu-3"]},
   "AllocResp":"KhYKFG5wdS1pcGMuaW8vbnB1PW5wdS0z"}],
  "RegisteredDevices":{"huawei.com/Ascend910B":["npu-3"]}},"Checksum":1820375117})";

TEST(AllocationCheckpointTest, FindsWhatAnyPodWasTold) {
  const auto checkpoint = AllocationCheckpoint::Parse(kCheckpoint);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_TRUE(checkpoint->Mentions("/var/lib/npu-ipc/lib/0123456789abcdef"));
  EXPECT_TRUE(checkpoint->Mentions("npu-ipc.io/npu=npu-3"));
  EXPECT_FALSE(checkpoint->Mentions("npu-ipc.io/npu=npu-4"));
  EXPECT_FALSE(checkpoint->Mentions("Ascend910B")) << "only answers are looked through";
}

TEST(AllocationCheckpointTest, KnowsAnEmptyOne) {
  for (const char* empty : {R"({"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}}})",
                            R"({"Data":{"PodDeviceEntries":[]},"Checksum":0})"}) {
    const auto checkpoint = AllocationCheckpoint::Parse(empty);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    EXPECT_FALSE(checkpoint->Mentions("npu"));
  }
}

TEST(AllocationCheckpointTest, SaysSoWhenItDoesNotUnderstand) {
  const auto entry = [](const std::string& answer) {
    return R"({"Data":{"PodDeviceEntries":[{"AllocResp":)" + answer + "}]}}";
  };
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string(R"({"Data":[]})"),
        std::string(R"({"data":{}})"), std::string(R"({"Data":{"PodDeviceEntries":{}}})"),
        std::string(R"({"Data":{"PodDeviceEntries":["x"]}})"), entry("null"), entry("7"),
        entry(R"("abc")"), entry(R"("ab!=")"), entry(R"("a===")")}) {
    const Status status = AllocationCheckpoint::Parse(text).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << text;
    EXPECT_THAT(status.message(), HasSubstr("checkpoint"));
  }
}

TEST(AllocationCheckpointTest, IsReadFromTheKubeletsDirectory) {
  TemporaryDirectory directory;
  EXPECT_EQ(AllocationCheckpoint::Read(directory.path()).status().code(), StatusCode::kNotFound);
  std::ofstream(directory.Path("kubelet_internal_checkpoint")) << kCheckpoint;
  const auto checkpoint = AllocationCheckpoint::Read(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_TRUE(checkpoint->Mentions("npu-3"));
}

}  // namespace
}  // namespace npu_ipc::kubelet
