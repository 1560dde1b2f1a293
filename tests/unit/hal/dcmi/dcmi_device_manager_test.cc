#include "hal/dcmi/dcmi_device_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

#include "tests/unit/hal/dcmi/scripted_dcmi.h"

namespace npu_ipc::hal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DcmiDeviceManagerTest : public ::testing::Test {
 protected:
  DcmiDeviceManager Manager() { return {ScriptedDcmi::Table(), "/nonexistent"}; }
  ScriptedDcmi driver_;
};

TEST_F(DcmiDeviceManagerTest, HealthLevels) {
  driver_.Make910B(5);
  for (int i = 0; i < 4; ++i) driver_.chips[{i, 0}].health = static_cast<unsigned int>(i);
  driver_.chips[{4, 0}].health = 0xFFFFFFFF;
  DcmiDeviceManager manager = Manager();
  const HealthLevel expected[] = {HealthLevel::kOk, HealthLevel::kMinor, HealthLevel::kMajor,
                                  HealthLevel::kCritical, HealthLevel::kAbsent};
  for (uint32_t i = 0; i < 5; ++i) {
    Result<DeviceHealth> health = manager.Health(i);
    ASSERT_TRUE(health.ok()) << health.status().message();
    EXPECT_EQ(health->level, expected[i]);
  }
}

TEST_F(DcmiDeviceManagerTest, HealthThatIsNoLevelIsAnError) {
  driver_.Make910B(1);
  driver_.chips[{0, 0}].health = 17;
  Result<DeviceHealth> health = Manager().Health(0);
  ASSERT_FALSE(health.ok());
  EXPECT_THAT(health.status().message(), HasSubstr("17"));
}

TEST_F(DcmiDeviceManagerTest, FaultCodes) {
  driver_.Make910B(1);
  driver_.chips[{0, 0}].faults = {0x80e18005, 0x8c1f8608};
  Result<DeviceHealth> health = Manager().Health(0);
  ASSERT_TRUE(health.ok());
  EXPECT_THAT(health->fault_codes, ElementsAre(0x80e18005, 0x8c1f8608));
}

TEST_F(DcmiDeviceManagerTest, FaultCountsAreNotTrusted) {
  driver_.Make910B(1);
  driver_.fault_count = 1'000'000;
  DcmiDeviceManager manager = Manager();
  Result<DeviceHealth> health = manager.Health(0);
  ASSERT_TRUE(health.ok());
  EXPECT_EQ(health->fault_codes.size(), 128u);
}

TEST_F(DcmiDeviceManagerTest, HealthDoesNotNeedFaultCodes) {
  driver_.Make910B(1);
  driver_.chips[{0, 0}].health = 2;
  driver_.Fail("dcmi_get_device_errorcode_v2", DCMI_ERR_CODE_NOT_SUPPORT);
  Result<DeviceHealth> health = Manager().Health(0);
  ASSERT_TRUE(health.ok());
  EXPECT_EQ(health->level, HealthLevel::kMajor);
}

TEST_F(DcmiDeviceManagerTest, ErrorsNameTheCallTheDeviceAndTheCode) {
  driver_.Make910C(2);
  driver_.Fail("dcmi_get_device_health", DCMI_ERR_CODE_NOT_REDAY, 1, 1);
  Result<DeviceHealth> health = Manager().Health(3);
  ASSERT_FALSE(health.ok());
  EXPECT_EQ(health.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(health.status().message(),
            "dcmi_get_device_health of device 3 (card 1 device 1): DCMI error -8012 (not ready)");
}

TEST_F(DcmiDeviceManagerTest, ADeviceThatIsNotThereIsNotFound) {
  driver_.Make910B(2);
  DcmiDeviceManager manager = Manager();
  EXPECT_EQ(manager.Health(2).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(manager.Link(0, 9).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(manager.SetDeviceShare(9, true).code(), StatusCode::kNotFound);
}

TEST_F(DcmiDeviceManagerTest, DevicesAreNamedByTheLastInventory) {
  driver_.Make910B(2);
  DcmiDeviceManager manager = Manager();
  ASSERT_TRUE(manager.Devices().ok());
  driver_.chips[{1, 0}].physical_id = 5;
  driver_.chips[{1, 0}].health = 1;
  EXPECT_EQ(manager.Health(5).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(manager.Devices().ok());
  ASSERT_TRUE(manager.Health(5).ok());
  EXPECT_EQ(manager.Health(5)->level, HealthLevel::kMinor);
  EXPECT_EQ(manager.Health(1).status().code(), StatusCode::kNotFound);
}

TEST_F(DcmiDeviceManagerTest, Usage) {
  driver_.Make910B(1);
  Result<DeviceUsage> usage = Manager().Usage(0);
  ASSERT_TRUE(usage.ok());
  EXPECT_EQ(usage->memory_used_bytes, 1ull << 30);
  EXPECT_EQ(usage->temperature_celsius, 51);
  EXPECT_EQ(usage->memory_temperature_celsius, 45);
  EXPECT_EQ(usage->memory_bandwidth_percent, 12u);
  EXPECT_EQ(usage->ai_core_percent, 17u);
  EXPECT_EQ(usage->ai_cpu_percent, 99u);
  EXPECT_EQ(usage->vector_core_percent, 99u);
}

TEST_F(DcmiDeviceManagerTest, UsageHoldsWhatCanBeRead) {
  driver_.Make910B(1);
  driver_.Fail("dcmi_get_device_temperature", DCMI_ERR_CODE_NOT_SUPPORT);
  driver_.utilization = 4000;
  driver_.chips[{0, 0}].memory.memory_usage = ~0ull;
  driver_.chips[{0, 0}].memory.bandwith_util_rate = 101;
  Result<DeviceUsage> usage = Manager().Usage(0);
  ASSERT_TRUE(usage.ok());
  EXPECT_EQ(usage->temperature_celsius, 45) << "the memory's, where the chip's cannot be read";
  EXPECT_FALSE(usage->memory_used_bytes.has_value());
  EXPECT_FALSE(usage->memory_bandwidth_percent.has_value());
  EXPECT_FALSE(usage->ai_core_percent.has_value());
}

TEST_F(DcmiDeviceManagerTest, UsageOfADeviceThatSaysNothingIsAnError) {
  driver_.Make910B(1);
  DcmiDeviceManager manager = Manager();
  ASSERT_TRUE(manager.Devices().ok());
  driver_.Fail("dcmi_get_device_hbm_info", DCMI_ERR_CODE_TIME_OUT);
  driver_.Fail("dcmi_get_device_temperature", DCMI_ERR_CODE_TIME_OUT);
  driver_.Fail("dcmi_get_device_utilization_rate", DCMI_ERR_CODE_TIME_OUT);
  EXPECT_EQ(manager.Usage(0).status().code(), StatusCode::kUnavailable);
}

TEST_F(DcmiDeviceManagerTest, Processes) {
  driver_.Make910B(1);
  driver_.processes = {{4711, 1024}, {-1, 5}, {4712, 2048}};
  driver_.process_count = 3;
  Result<std::vector<DeviceProcess>> processes = Manager().Processes(0);
  ASSERT_TRUE(processes.ok());
  ASSERT_EQ(processes->size(), 2u);
  EXPECT_EQ((*processes)[0].host_pid, 4711);
  EXPECT_EQ((*processes)[1].memory_bytes, 2048u);
}

TEST_F(DcmiDeviceManagerTest, ProcessCountsAreNotTrusted) {
  driver_.Make910B(1);
  driver_.processes.assign(32, {7, 1});
  DcmiDeviceManager manager = Manager();
  driver_.process_count = 1 << 20;
  EXPECT_EQ(manager.Processes(0)->size(), 32u);
  driver_.process_count = -2;
  EXPECT_EQ(manager.Processes(0)->size(), 0u);
}

TEST_F(DcmiDeviceManagerTest, Links) {
  driver_.Make910C(2);
  DcmiDeviceManager manager = Manager();
  const LinkType expected[] = {LinkType::kSelf,   LinkType::kSystem,     LinkType::kPciHost,
                               LinkType::kHccs,   LinkType::kPciMulti,   LinkType::kPciSwitch,
                               LinkType::kSio,    LinkType::kHccsSwitch, LinkType::kUb,
                               LinkType::kUnknown};
  for (int topology = 0; topology < 10; ++topology) {
    driver_.topology = topology;
    Result<LinkType> link = manager.Link(0, 1);
    ASSERT_TRUE(link.ok()) << link.status().message();
    EXPECT_EQ(*link, expected[topology]);
  }
  driver_.topology = DCMI_TOPO_TYPE_SYS;
  EXPECT_EQ(*manager.Link(2, 2), LinkType::kSelf);
}

TEST_F(DcmiDeviceManagerTest, SixIsNoLinkOn910B) {
  driver_.Make910B(2);
  driver_.topology = 6;
  EXPECT_EQ(*Manager().Link(0, 1), LinkType::kUnknown);
}

TEST_F(DcmiDeviceManagerTest, DeviceShare) {
  driver_.Make910B(1);
  DcmiDeviceManager manager = Manager();
  EXPECT_FALSE(*manager.DeviceShare(0));
  EXPECT_TRUE(manager.SetDeviceShare(0, true).ok());
  EXPECT_TRUE(*manager.DeviceShare(0));
  driver_.Fail("dcmi_set_device_share_enable", DCMI_ERR_CODE_RESOURCE_OCCUPIED);
  EXPECT_EQ(manager.SetDeviceShare(0, false).code(), StatusCode::kFailedPrecondition);
  driver_.Fail("dcmi_set_device_share_enable", DCMI_ERR_CODE_OPER_NOT_PERMITTED);
  EXPECT_EQ(manager.SetDeviceShare(0, false).code(), StatusCode::kPermissionDenied);
}

dcmi_dms_fault_event FaultOf(unsigned short logical_id) {
  dcmi_dms_fault_event event = {};
  event.event_id = 0x80e18005;
  event.deviceid = logical_id;
  event.severity = 2;
  event.assertion = 1;
  snprintf(event.event_name, sizeof(event.event_name), "deviceid=%u, memory error", logical_id);
  return event;
}

TEST_F(DcmiDeviceManagerTest, FaultsNameTheDevice) {
  driver_.Make910B(2);
  driver_.chips[{1, 0}].physical_id = 7;
  DcmiDeviceManager manager = Manager();
  ASSERT_TRUE(manager.Devices().ok());
  std::vector<DeviceFault> faults;
  ASSERT_TRUE(
      manager.SubscribeFaults([&](const DeviceFault& fault) { faults.push_back(fault); }).ok());
  ScriptedDcmi::Report(FaultOf(1));
  dcmi_dms_fault_event cleared = FaultOf(0);
  cleared.severity = 0;
  cleared.assertion = 0;
  ScriptedDcmi::Report(cleared);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults[0].physical_id, 7u);
  EXPECT_EQ(faults[0].code, 0x80e18005);
  EXPECT_EQ(faults[0].severity, FaultSeverity::kMajor);
  EXPECT_EQ(faults[0].change, FaultChange::kRaised);
  EXPECT_EQ(faults[0].description, "deviceid=1, memory error");
  EXPECT_EQ(faults[1].physical_id, 0u);
  EXPECT_EQ(faults[1].severity, FaultSeverity::kNotice);
  EXPECT_EQ(faults[1].change, FaultChange::kCleared);
}

TEST_F(DcmiDeviceManagerTest, FaultsThatMakeNoSenseAreTakenSeriously) {
  driver_.Make910B(1);
  DcmiDeviceManager manager = Manager();
  ASSERT_TRUE(manager.Devices().ok());
  std::vector<DeviceFault> faults;
  ASSERT_TRUE(
      manager.SubscribeFaults([&](const DeviceFault& fault) { faults.push_back(fault); }).ok());
  dcmi_dms_fault_event event = FaultOf(40);
  event.severity = 200;
  event.assertion = 9;
  memset(event.event_name, 'x', sizeof(event.event_name));
  ScriptedDcmi::Report(event);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_FALSE(faults[0].physical_id.has_value());
  EXPECT_EQ(faults[0].severity, FaultSeverity::kCritical);
  EXPECT_EQ(faults[0].change, FaultChange::kOccurred);
  EXPECT_EQ(faults[0].description.size(), sizeof(event.event_name));
}

TEST_F(DcmiDeviceManagerTest, ManagersOfOneProcessShareItsSubscription) {
  driver_.Make910B(1);
  int first_heard = 0;
  int second_heard = 0;
  DcmiDeviceManager first = Manager();
  ASSERT_TRUE(first.SubscribeFaults([&](const DeviceFault&) { ++first_heard; }).ok());
  EXPECT_EQ(first.SubscribeFaults([](const DeviceFault&) {}).code(),
            StatusCode::kFailedPrecondition);
  {
    DcmiDeviceManager second = Manager();
    ASSERT_TRUE(second.SubscribeFaults([&](const DeviceFault&) { ++second_heard; }).ok());
    ScriptedDcmi::Report(FaultOf(0));
  }
  ScriptedDcmi::Report(FaultOf(0));
  EXPECT_EQ(first_heard, 2);
  EXPECT_EQ(second_heard, 1) << "a manager that is gone hears nothing";
}

TEST_F(DcmiDeviceManagerTest, DriverVersion) { EXPECT_EQ(*Manager().DriverVersion(), "24.1.rc3"); }

TEST_F(DcmiDeviceManagerTest, AMissingFunctionTakesOnlyItsOwnFeature) {
  driver_.Make910B(2);
  DcmiTable table = ScriptedDcmi::Table();
  table.get_driver_version = nullptr;
  table.get_device_errorcode_v2 = nullptr;
  table.get_device_temperature = nullptr;
  table.get_device_hbm_info = nullptr;
  table.get_device_utilization_rate = nullptr;
  table.get_device_resource_info = nullptr;
  table.get_topo_info_by_device_id = nullptr;
  table.subscribe_fault_event = nullptr;
  table.get_device_share_enable = nullptr;
  table.set_device_share_enable = nullptr;
  DcmiDeviceManager manager(table, "/nonexistent");
  EXPECT_EQ(manager.Devices()->devices.size(), 2u);
  EXPECT_TRUE(manager.Health(0).ok());
  EXPECT_EQ(manager.DriverVersion().status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(manager.Usage(0).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(manager.Processes(0).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(manager.Link(0, 1).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(manager.DeviceShare(0).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(manager.SubscribeFaults([](const DeviceFault&) {}).code(), StatusCode::kUnimplemented);
  Status set = manager.SetDeviceShare(0, true);
  EXPECT_EQ(set.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(set.message(), HasSubstr("dcmi_set_device_share_enable"));
}

TEST_F(DcmiDeviceManagerTest, IsSafeFromManyThreads) {
  driver_.Make910B(8);
  DcmiDeviceManager manager = Manager();
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint32_t i = 0; i < 100; ++i) {
        if (!manager.Devices().ok()) ++failures;
        if (!manager.Health(i % 8).ok()) ++failures;
        if (!manager.Link(i % 8, (i + 1) % 8).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace npu_ipc::hal
