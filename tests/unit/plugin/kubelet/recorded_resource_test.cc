#include "plugin/kubelet/recorded_resource.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugin/kubelet/fake_resource.h"

namespace npu_ipc::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RecordedResourceTest, TellsOfWhatWasAllocatedAndChangesNothing) {
  const auto inner = std::make_shared<FakeResource>(
      "huawei.com/Ascend910B", std::vector<AdvertisedDevice>{{"npu-0", true, {}}});
  std::vector<std::string> recorded;
  std::vector<std::string> refused;
  const RecordedResource resource(inner, [&](const AllocateCall& call) {
    EXPECT_EQ(call.resource, "huawei.com/Ascend910B");
    EXPECT_GE(call.took, Duration(0));
    std::vector<std::string>& ids = call.status.ok() ? recorded : refused;
    ids.insert(ids.end(), call.device_ids.begin(), call.device_ids.end());
  });
  EXPECT_EQ(resource.name(), "huawei.com/Ascend910B");
  EXPECT_EQ(resource.Devices().size(), 1u);
  EXPECT_THAT(resource.Prefer({{"a"}, {"b"}, 1}).value(), ElementsAre("b", "a"));
  EXPECT_EQ(resource.Prefer({{}, {}, 1}).status().code(), StatusCode::kInvalidArgument);

  EXPECT_EQ(resource.Allocate({"bad"}).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(recorded, IsEmpty()) << "a refused allocation is none";
  EXPECT_THAT(refused, ElementsAre("bad"));
  const auto changes = resource.Allocate({"npu-0"});
  ASSERT_TRUE(changes.ok());
  EXPECT_EQ(changes->device_nodes.size(), 1u);
  EXPECT_THAT(recorded, ElementsAre("npu-0"));
}

}  // namespace
}  // namespace npu_ipc::kubelet
