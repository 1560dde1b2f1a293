#include "hal/sim/driver/node_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "hal/base/process.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::sim {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Where the build puts the shapes, from this test's own place beside bin/.
std::string NodesDirectory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().string() +
         "/share/npu-ipc-sim/nodes";
}

json Document(const std::string& name) {
  const Result<std::string> text = ReadFile(NodesDirectory() + "/" + name + ".json");
  EXPECT_TRUE(text.ok()) << text.status().message();
  return json::parse(*text);
}

std::string ErrorOf(const json& document) {
  const Result<NodeShape> shape = ParseNodeShape(document.dump(), "node.json");
  EXPECT_EQ(shape.status().code(), StatusCode::kInvalidArgument);
  return shape.status().message();
}

TEST(NodeShape, The910BNodeIsEightSingleChipCardsInAFullMesh) {
  const Result<NodeShape> shape = LoadNodeShape("910b", NodesDirectory());
  ASSERT_TRUE(shape.ok()) << shape.status().message();
  EXPECT_EQ(shape->chip_family, ChipFamily::k910B);
  EXPECT_EQ(shape->soc_name, "Ascend910B3");
  EXPECT_EQ(shape->chip.name, "910B3");
  EXPECT_EQ(shape->chip.ai_cores, 20U);
  EXPECT_EQ(shape->chip.memory_bytes, uint64_t{64} << 30);
  EXPECT_EQ(shape->chip.pci_vendor_id, 0x19e5U);
  EXPECT_EQ(shape->chip.pci_device_id, 0xd802U);
  EXPECT_EQ(shape->super_pod.size, 0U);
  ASSERT_EQ(shape->devices.size(), 8U);
  for (uint32_t a = 0; a < 8; ++a) {
    EXPECT_EQ(shape->devices[a].card_id, a);
    for (uint32_t b = 0; b < 8; ++b) {
      EXPECT_EQ(shape->links[a][b], a == b ? Link::kSelf : Link::kHccs);
    }
  }
}

TEST(NodeShape, TheBox16NodeIsTwoMeshesOfEightThatMeetAtTheSamePositions) {
  const Result<NodeShape> shape = LoadNodeShape("910b-box16", NodesDirectory());
  ASSERT_TRUE(shape.ok()) << shape.status().message();
  EXPECT_EQ(shape->chip_family, ChipFamily::k910B);
  EXPECT_EQ(shape->soc_name, "Ascend910B2C");
  EXPECT_EQ(shape->chip.name, "910B2C");
  EXPECT_EQ(shape->chip.ai_cores, 24U);
  ASSERT_EQ(shape->devices.size(), 16U);
  for (uint32_t a = 0; a < 16; ++a) {
    EXPECT_EQ(shape->devices[a].card_id, a);
    for (uint32_t b = 0; b < 16; ++b) {
      const bool same_group = a / 8 == b / 8;
      EXPECT_EQ(shape->links[a][b] == Link::kHccs, a != b && same_group) << a << " " << b;
      EXPECT_EQ(CarriesPeerAccess(shape->links[a][b]), a != b && (same_group || a % 8 == b % 8))
          << a << " " << b;
    }
  }
}

TEST(NodeShape, The910CNodeIsEightModulesOfTwoDies) {
  const Result<NodeShape> shape = LoadNodeShape("910c", NodesDirectory());
  ASSERT_TRUE(shape.ok()) << shape.status().message();
  EXPECT_EQ(shape->chip_family, ChipFamily::k910C);
  EXPECT_EQ(shape->soc_name, "Ascend910_9391");
  EXPECT_EQ(shape->chip.pci_device_id, 0xd803U);
  EXPECT_EQ(shape->chip.ai_cores, 24U);
  ASSERT_EQ(shape->devices.size(), 16U);
  for (uint32_t a = 0; a < 16; ++a) {
    const DeviceShape& device = shape->devices[a];
    EXPECT_EQ(device.card_id, a / 2);
    EXPECT_EQ(device.device_id_in_card, a % 2);
    // DCMI's layout: server 31-22, chip 21-18, die 17-16, device 15-0.
    EXPECT_EQ(device.super_pod_device_id,
              shape->super_pod.server_index << 22 | (a / 2) << 18 | (a % 2) << 16 | a);
    for (uint32_t b = 0; b < 16; ++b) {
      const Link expected = a == b ? Link::kSelf : a / 2 == b / 2 ? Link::kSio : Link::kHccsSwitch;
      EXPECT_EQ(shape->links[a][b], expected) << a << " " << b;
    }
  }
}

TEST(NodeShape, AMissingKeyIsNamed) {
  json document = Document("910b");
  document["chip"].erase("ai_cores");
  EXPECT_EQ(ErrorOf(document),
            "node.json: node.chip.ai_cores: expected a whole number from 1 to 1024, found nothing");
}

TEST(NodeShape, AValueOfTheWrongKindIsShown) {
  json document = Document("910b");
  document["devices"][3]["pci_address"] = "82:00";
  EXPECT_EQ(ErrorOf(document),
            "node.json: devices[3].pci_address: expected text like \"0000:c1:00.0\", found "
            "\"82:00\"");
  document = Document("910b");
  document["chip"]["pci_device_id"] = 0xd802;
  EXPECT_THAT(ErrorOf(document),
              AllOf(HasSubstr("node.chip.pci_device_id"), HasSubstr("\"0x1f\"")));
  document = Document("910b");
  document["chip"] = 7;
  EXPECT_EQ(ErrorOf(document), "node.json: node.chip: expected an object, found 7");
}

TEST(NodeShape, AnUnknownKeyIsNamedWithWhatIsAccepted) {
  json document = Document("910b");
  document["super_pod"] = {{"id", 0}, {"size", 384}, {"server_index", 0}, {"colour", "red"}};
  for (json& device : document["devices"]) device["super_pod_device_id"] = "0x0";
  EXPECT_EQ(ErrorOf(document),
            "node.json: node.super_pod: unknown key \"colour\"; accepted: id, server_index, size");
}

TEST(NodeShape, LinksMustFormASymmetricMatrix) {
  json document = Document("910b");
  document["links"][0] = "SELF SYS HCCS HCCS HCCS HCCS HCCS HCCS";
  EXPECT_THAT(ErrorOf(document), HasSubstr("node.links: expected one row a device"));
  document = Document("910b");
  document["links"].erase(7);
  EXPECT_THAT(ErrorOf(document), HasSubstr("node.links: expected one row a device"));
  document = Document("910b");
  document["links"][0] = "SELF WIFI HCCS HCCS HCCS HCCS HCCS HCCS";
  EXPECT_THAT(ErrorOf(document), HasSubstr("SELF SYS PHB HCCS PXB PIX SIO HCCS_SW UB"));
}

TEST(NodeShape, DevicesAreListedByPhysicalIdAndHaveAPlaceOfTheirOwn) {
  json document = Document("910c");
  document["devices"][2]["physical_id"] = 4;
  EXPECT_THAT(ErrorOf(document), HasSubstr("devices[2].physical_id: expected 2"));
  document = Document("910c");
  document["devices"][3]["device_in_card"] = 0;
  EXPECT_THAT(ErrorOf(document), HasSubstr("devices[3] is in the same place"));
  document = Document("910c");
  document["devices"] = json::array();
  EXPECT_THAT(ErrorOf(document), HasSubstr("node.devices: expected a list of 1 to 64"));
}

TEST(NodeShape, WhatIsNotJsonIsAnErrorThatNamesTheFile) {
  const Result<NodeShape> shape = ParseNodeShape("{\"description\": ", "/etc/node.json");
  EXPECT_EQ(shape.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(shape.status().message(), HasSubstr("/etc/node.json: not JSON: "));
}

TEST(NodeShape, AnUnknownNameIsAnsweredWithTheKnownOnes) {
  const Result<NodeShape> shape = LoadNodeShape("910z", NodesDirectory());
  EXPECT_EQ(shape.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(shape.status().message(),
              AllOf(HasSubstr("'910z'"), HasSubstr("has: 910b, 910b-box16, 910c")));
}

TEST(NodeShape, APathIsTakenAsItIs) {
  const TemporaryDirectory directory;
  std::ofstream(directory.Path("mine.json")) << Document("910b").dump();
  const Result<NodeShape> shape = LoadNodeShape(directory.Path("mine.json"), "/nowhere");
  EXPECT_TRUE(shape.ok()) << shape.status().message();
}

}  // namespace
}  // namespace npu_ipc::sim
