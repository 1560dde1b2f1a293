// What differs between 910B (Atlas A2) and 910C (Atlas A3), which has two dies a module and a super
// pod around it.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "tests/conformance/node_under_test.h"
#include "tests/conformance/party.h"

namespace npu_ipc::conformance {
namespace {

constexpr int kFirstDieOfNextModule = 2;
constexpr aclError kLinkTypeNotSupported = 207021;  // named in newer headers only

uint32_t SuperPodDeviceId(Party& party) {
  return static_cast<uint32_t>(party.Get([] {
    Answer<int64_t> id = {};
    id.code = aclrtGetDeviceInfo(0, ACL_DEV_ATTR_SUPER_POD_DEVICE_ID, &id.value);
    return id;
  }));
}

void ExpectSharedAcross(int exporters_device, int importers_device) {
  Party exporter = Party::InContainer(exporters_device);
  Party importer = Party::InContainer(importers_device);
  const Block block = exporter.Allocate();
  exporter.Write(block.address, block.bytes, 41);
  const Key key = exporter.Export(block);
  exporter.Admit(key, importer);
  EXPECT_NE(importer.TryImport(key).code, ACL_SUCCESS) << "no peer access yet";
  EnableP2PBothWays(exporter, importer);
  void* const imported = importer.Import(key);
  EXPECT_EQ(importer.Read(imported, block.bytes), 41u);
  importer.Write(imported, block.bytes, 42);
  EXPECT_EQ(exporter.Read(block.address, block.bytes), 42u);
}

TEST(Ascend910B, AKeyHoldsNoSuperPodDeviceId) {
  Party exporter = Party::OnHost(First());
  const Key key = exporter.Export(exporter.Allocate());
  EXPECT_EQ(std::string(key.text).substr(28), std::string(36, '0'));
}

TEST(Ascend910B, HasNoLinksToChooseFrom) {
  Party exporter = Party::OnHost(First());
  const Key key = exporter.Export(exporter.Allocate());
  const aclError code = exporter.Call(
      [](Key name) {
        return aclrtIpcMemSetAttr(name.text, ACL_RT_IPC_MEM_ATTR_ACCESS_LINK,
                                  ACL_RT_IPC_MEM_ATTR_ACCESS_LINK_SIO);
      },
      key);
  EXPECT_TRUE(code == kLinkTypeNotSupported || code == ACL_ERROR_RT_FEATURE_NOT_SUPPORT) << code;
}

// Two groups of eight cards: a link runs between cards at the same position alone.
TEST(Box16, CardsOfOneGroupShare) { ExpectSharedAcross(8, 15); }

TEST(Box16, CardsAtTheSamePositionOfBothGroupsShare) { ExpectSharedAcross(3, 11); }

TEST(Ascend910C, AKeyHoldsTheSuperPodDeviceId) {
  Party exporter = Party::InContainer(First());
  const Key key = exporter.Export(exporter.Allocate());
  const std::string field = std::string(key.text).substr(28, 8);
  EXPECT_EQ(::strtoul(field.c_str(), nullptr, 16), SuperPodDeviceId(exporter));
}

// They are devices of their own on the PCI bus: not "the same chip" to peer access.
TEST(Ascend910C, TwoDiesOfAModuleShare) { ExpectSharedAcross(First(), Second()); }

TEST(Ascend910C, DiesOfDifferentModulesShare) {
  ExpectSharedAcross(First(), kFirstDieOfNextModule);
}

TEST(Ascend910C, TheTwoDiesOfAModuleBelongToTwoContainers) {
  Party one = Party::InContainer(First());
  Party other = Party::InContainer(Second());
  one.Allocate();
  other.Allocate();
}

}  // namespace
}  // namespace npu_ipc::conformance
