#include "hal/dcmi/dcmi_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/hal/dcmi/scripted_dcmi.h"

namespace npu_ipc::hal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DcmiDiscoveryTest : public ::testing::Test {
 protected:
  DeviceInventory Discover(const DcmiTable& table) {
    Result<DeviceInventory> inventory = DiscoverDevices(table, sysfs_.path());
    EXPECT_TRUE(inventory.ok()) << inventory.status().message();
    return inventory.ok() ? *inventory : DeviceInventory();
  }
  DeviceInventory Discover() { return Discover(ScriptedDcmi::Table()); }

  static std::vector<uint32_t> PhysicalIds(const DeviceInventory& inventory) {
    std::vector<uint32_t> ids;
    for (const Device& device : inventory.devices) ids.push_back(device.physical_id);
    return ids;
  }

  void WriteSysfs(const std::string& path, const std::string& text) {
    const std::filesystem::path file = sysfs_.Path(path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  ScriptedDcmi driver_;
  TemporaryDirectory sysfs_;
};

TEST_F(DcmiDiscoveryTest, Finds910B) {
  driver_.Make910B(8);
  const DeviceInventory inventory = Discover();
  ASSERT_EQ(inventory.devices.size(), 8u);
  EXPECT_THAT(inventory.skipped, IsEmpty());
  const Device& device = inventory.devices[3];
  EXPECT_EQ(device.physical_id, 3u);
  EXPECT_EQ(device.logical_id, 3u);
  EXPECT_EQ(device.card_id, 3u);
  EXPECT_EQ(device.device_id_in_card, 0u);
  EXPECT_EQ(device.family, ChipFamily::kAscend910B);
  EXPECT_EQ(device.chip_name, "910B3");
  EXPECT_EQ(device.serial, "00000001-00000002-00000003-00000004-00000005");
  EXPECT_EQ(device.pci_address, "0000:c3:00.0");
  EXPECT_EQ(device.memory_bytes, 64ull << 30);
  EXPECT_EQ(device.device_node, "/dev/davinci3");
}

TEST_F(DcmiDiscoveryTest, Finds910CByItsBoard) {
  driver_.Make910C(8);
  const DeviceInventory inventory = Discover();
  ASSERT_EQ(inventory.devices.size(), 16u);
  EXPECT_THAT(inventory.skipped, IsEmpty());
  EXPECT_EQ(inventory.devices[5].family, ChipFamily::kAscend910C);
  EXPECT_EQ(inventory.devices[5].card_id, 2u);
  EXPECT_EQ(inventory.devices[5].device_id_in_card, 1u);
}

TEST_F(DcmiDiscoveryTest, Finds910CByItsMainBoard) {
  driver_.Make910C(1);
  for (auto& [where, chip] : driver_.chips) {
    chip.board_id = 0x7;
    chip.mainboard_id = 0x1c;
  }
  EXPECT_THAT(PhysicalIds(Discover()), ElementsAre(0, 1));
}

TEST_F(DcmiDiscoveryTest, NamesA910CAsItsModuleDoes) {
  driver_.Make910C(1);
  for (auto& [where, chip] : driver_.chips) {
    chip.board_id = 0;
    chip.npu_name = "Ascend910_9391";
  }
  const DeviceInventory inventory = Discover();
  ASSERT_EQ(inventory.devices.size(), 2u);
  EXPECT_EQ(inventory.devices[0].family, ChipFamily::kAscend910C);
}

TEST_F(DcmiDiscoveryTest, SkipsOtherFamiliesWithAReason) {
  driver_.Make910B(3);
  driver_.chips[{0, 0}].chip_name = "310P3";
  driver_.chips[{1, 0}].chip_name = "Ascend910";  // a 910A: no board of ours
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(PhysicalIds(inventory), ElementsAre(2));
  ASSERT_EQ(inventory.skipped.size(), 2u);
  EXPECT_EQ(inventory.skipped[0].name, "card 0 device 0");
  EXPECT_THAT(inventory.skipped[0].reason, HasSubstr("310P3"));
  EXPECT_FALSE(inventory.skipped[0].failed);
  EXPECT_FALSE(inventory.skipped[1].failed);
}

TEST_F(DcmiDiscoveryTest, AnAmbiguousChipWithoutABoardIsAFailure) {
  driver_.Make910C(1);
  driver_.Fail("dcmi_get_device_board_info", DCMI_ERR_CODE_INNER_ERR);
  driver_.Fail("dcmi_get_mainboard_id", DCMI_ERR_CODE_NOT_SUPPORT);
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(inventory.devices, IsEmpty());
  ASSERT_EQ(inventory.skipped.size(), 2u);
  EXPECT_TRUE(inventory.skipped[0].failed);
}

TEST_F(DcmiDiscoveryTest, SkipsControllers) {
  driver_.Make910B(2);
  driver_.card_info[0] = {2, 1, -1};  // the list of chips includes the controller
  driver_.chips[{1, 0}].type = MCU_TYPE;
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(PhysicalIds(inventory), ElementsAre(0));
  ASSERT_EQ(inventory.skipped.size(), 2u);
  EXPECT_EQ(inventory.skipped[0].name, "card 0 device 1");
  EXPECT_EQ(inventory.skipped[1].name, "card 1 device 0");
  EXPECT_FALSE(inventory.skipped[0].failed || inventory.skipped[1].failed);
}

TEST_F(DcmiDiscoveryTest, OneDeviceThatDoesNotAnswerHidesNoOther) {
  driver_.Make910B(4);
  driver_.Fail("dcmi_get_device_chip_info", DCMI_ERR_CODE_RESOURCE_OCCUPIED, 1);
  driver_.Fail("dcmi_get_device_id_in_card", DCMI_ERR_CODE_TIME_OUT, 2);
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(PhysicalIds(inventory), ElementsAre(0, 3));
  ASSERT_EQ(inventory.skipped.size(), 2u);
  EXPECT_EQ(inventory.skipped[0].name, "card 1 device 0");
  EXPECT_THAT(inventory.skipped[0].reason, HasSubstr("-8020"));
  EXPECT_TRUE(inventory.skipped[0].failed);
  EXPECT_EQ(inventory.skipped[1].name, "card 2");
  EXPECT_THAT(inventory.skipped[1].reason, HasSubstr("-8006"));
}

TEST_F(DcmiDiscoveryTest, ANegativeCountOfCardsIsAnError) {
  driver_.Make910B(2);
  driver_.card_count = -3;
  Result<DeviceInventory> inventory = DiscoverDevices(ScriptedDcmi::Table(), sysfs_.path());
  ASSERT_FALSE(inventory.ok());
  EXPECT_EQ(inventory.status().code(), StatusCode::kInternal);
  EXPECT_THAT(inventory.status().message(), HasSubstr("-3"));
}

TEST_F(DcmiDiscoveryTest, AHugeCountOfCardsIsCutAndReported) {
  driver_.Make910B(64);
  driver_.card_count = 2'000'000'000;
  const DeviceInventory inventory = Discover();
  EXPECT_EQ(inventory.devices.size(), 64u);
  ASSERT_EQ(inventory.skipped.size(), 1u);
  EXPECT_THAT(inventory.skipped[0].reason, HasSubstr("2000000000"));
  EXPECT_TRUE(inventory.skipped[0].failed);
}

TEST_F(DcmiDiscoveryTest, NonsenseCountsOfChipsAreReported) {
  driver_.Make910B(3);
  driver_.card_info[0].device_id_max = -1;
  driver_.card_info[1] = {1 << 30, -1, -1};
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(PhysicalIds(inventory), ElementsAre(1, 2));
  ASSERT_GE(inventory.skipped.size(), 2u);
  EXPECT_EQ(inventory.skipped[0].name, "card 0");
  EXPECT_EQ(inventory.skipped[1].name, "card 1");
}

TEST_F(DcmiDiscoveryTest, CardsListedTwiceOrNegativeAreServedOnce) {
  driver_.Make910B(2);
  driver_.cards = {0, 1, 0, -7};
  driver_.card_count = 4;
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(PhysicalIds(inventory), ElementsAre(0, 1));
  EXPECT_EQ(inventory.skipped.size(), 2u);
}

TEST_F(DcmiDiscoveryTest, APhysicalIdIsServedOnce) {
  driver_.Make910B(3);
  driver_.chips[{2, 0}].physical_id = 0;
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(PhysicalIds(inventory), ElementsAre(0, 1));
  ASSERT_EQ(inventory.skipped.size(), 1u);
  EXPECT_THAT(inventory.skipped[0].reason, HasSubstr("card 0 device 0"));
  EXPECT_TRUE(inventory.skipped[0].failed);
}

TEST_F(DcmiDiscoveryTest, NonsenseIdsAreReported) {
  driver_.Make910B(3);
  driver_.chips[{0, 0}].logical_id = -1;
  driver_.chips[{1, 0}].physical_id = 0xFFFFFFFF;
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(PhysicalIds(inventory), ElementsAre(2));
  EXPECT_EQ(inventory.skipped.size(), 2u);
}

TEST_F(DcmiDiscoveryTest, SortsByPhysicalId) {
  driver_.Make910B(3);
  driver_.chips[{0, 0}].physical_id = 2;
  driver_.chips[{2, 0}].physical_id = 0;
  EXPECT_THAT(PhysicalIds(Discover()), ElementsAre(0, 1, 2));
}

TEST_F(DcmiDiscoveryTest, WithoutTheCardListThereIsNoInventory) {
  driver_.Fail("dcmi_get_card_list", DCMI_ERR_CODE_NOT_REDAY);
  Result<DeviceInventory> inventory = DiscoverDevices(ScriptedDcmi::Table(), sysfs_.path());
  ASSERT_FALSE(inventory.ok());
  EXPECT_EQ(inventory.status().code(), StatusCode::kUnavailable);
}

TEST_F(DcmiDiscoveryTest, ANodeWithoutCardsIsEmpty) {
  const DeviceInventory inventory = Discover();
  EXPECT_THAT(inventory.devices, IsEmpty());
  EXPECT_THAT(inventory.skipped, IsEmpty());
}

TEST_F(DcmiDiscoveryTest, TextsWithoutANulAreCutAtTheirArray) {
  driver_.Make910B(1);
  driver_.chips[{0, 0}].chip_name = "910B3" + std::string(40, 'x');
  const DeviceInventory inventory = Discover();
  ASSERT_EQ(inventory.devices.size(), 1u);
  EXPECT_EQ(inventory.devices[0].chip_name, "910B3" + std::string(MAX_CHIP_NAME_LEN - 5, 'x'));
}

TEST_F(DcmiDiscoveryTest, WhatADriverCannotTellIsEmpty) {
  driver_.Make910B(1);
  DcmiTable table = ScriptedDcmi::Table();
  table.get_device_type = nullptr;
  table.get_device_chip_info_v2 = nullptr;
  table.get_device_pcie_info_v2 = nullptr;
  table.get_device_board_info = nullptr;
  table.get_mainboard_id = nullptr;
  table.get_device_die_v2 = nullptr;
  table.get_device_hbm_info = nullptr;
  table.get_affinity_cpu_info_by_device_id = nullptr;
  const DeviceInventory inventory = Discover(table);
  ASSERT_EQ(inventory.devices.size(), 1u);
  EXPECT_EQ(inventory.devices[0].chip_name, "910B3");
  EXPECT_EQ(inventory.devices[0].serial, "");
  EXPECT_EQ(inventory.devices[0].pci_address, "");
  EXPECT_EQ(inventory.devices[0].memory_bytes, 0u);
  EXPECT_FALSE(inventory.devices[0].numa_node.has_value());
}

TEST_F(DcmiDiscoveryTest, NonsenseDescriptionsAreEmpty) {
  driver_.Make910B(1);
  ScriptedChip& chip = driver_.chips[{0, 0}];
  chip.die = {};
  chip.pci.domain = -1;
  chip.memory.memory_size = ~0ull;
  const DeviceInventory inventory = Discover();
  ASSERT_EQ(inventory.devices.size(), 1u);
  EXPECT_EQ(inventory.devices[0].serial, "");
  EXPECT_EQ(inventory.devices[0].pci_address, "");
  EXPECT_EQ(inventory.devices[0].memory_bytes, 0u);
}

TEST_F(DcmiDiscoveryTest, TheKernelNamesTheNumaNode) {
  driver_.Make910B(1);
  driver_.chips[{0, 0}].cpus = "0-3";
  WriteSysfs("bus/pci/devices/0000:c0:00.0/numa_node", "1\n");
  WriteSysfs("devices/system/node/node0/cpulist", "0-3\n");
  EXPECT_EQ(Discover().devices.at(0).numa_node, 1);
}

TEST_F(DcmiDiscoveryTest, ADeviceOnNoNumaNodeIsNotGivenOne) {
  driver_.Make910B(1);
  driver_.chips[{0, 0}].cpus = "0-3";
  WriteSysfs("bus/pci/devices/0000:c0:00.0/numa_node", "-1\n");
  WriteSysfs("devices/system/node/node0/cpulist", "0-3\n");
  EXPECT_FALSE(Discover().devices.at(0).numa_node.has_value());
}

TEST_F(DcmiDiscoveryTest, AffinityNamesTheNumaNodeWhereTheKernelDoesNotListTheDevice) {
  driver_.Make910B(2);
  driver_.chips[{0, 0}].cpus = "4-7,12-15";
  driver_.chips[{1, 0}].cpus = "64-127";
  WriteSysfs("devices/system/node/node0/cpulist", "0-3,8-11\n");
  WriteSysfs("devices/system/node/node1/cpulist", "4-7,12-15\n");
  WriteSysfs("devices/system/node/possible", "0-1\n");
  const DeviceInventory inventory = Discover();
  EXPECT_EQ(inventory.devices.at(0).numa_node, 1);
  EXPECT_FALSE(inventory.devices.at(1).numa_node.has_value());
}

}  // namespace
}  // namespace npu_ipc::hal
