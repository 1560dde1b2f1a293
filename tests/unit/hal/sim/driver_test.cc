#include "hal/sim/driver/driver.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

namespace npu_ipc::sim {
namespace {

using ::testing::StrEq;

constexpr uint64_t kHugePage = uint64_t{2} << 20;

NodeShape Node(const std::string& name) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string nodes = self.parent_path().parent_path().string() + "/share/npu-ipc-sim/nodes";
  Result<NodeShape> shape = LoadNodeShape(name, nodes);
  EXPECT_TRUE(shape.ok()) << shape.status().message();
  return std::move(*shape);
}

ino_t Inode(int fd) {
  struct stat file = {};
  EXPECT_EQ(::fstat(fd, &file), 0);
  return file.st_ino;
}

// One process that calls a driver: in a container of its own, with the devices that it was given.
class Caller {
 public:
  Caller(Driver& driver, pid_t pid, std::vector<uint32_t> devices) : driver_(driver) {
    facts_.pid = pid;
    facts_.start_time_ticks = 1;
    facts_.mount_namespace = 4026530000 + static_cast<uint64_t>(pid);
    facts_.devices = std::move(devices);
    driver_.SetFacts(facts_);
  }
  static Caller Host(Driver& driver, pid_t pid, std::vector<uint32_t> devices) {
    Caller caller(driver, pid, std::move(devices));
    caller.facts_.is_host = true;
    driver.SetFacts(caller.facts_);
    return caller;
  }

  Driver::Answer Call(Operation operation, uint32_t device = 0, uint32_t peer = 0) {
    Request request = {};
    request.operation = operation;
    request.device = device;
    request.peer = peer;
    return Call(request);
  }
  Driver::Answer Call(const Request& request) { return driver_.Handle(facts_.pid, request); }

  uint64_t Allocate(uint32_t device, uint64_t length) {
    Request request = {};
    request.operation = Operation::kAllocate;
    request.device = device;
    request.length = length;
    request.page_bytes = kHugePage;
    const Driver::Answer answer = Call(request);
    EXPECT_EQ(answer.reply.error, 0) << answer.reason;
    return answer.reply.values[0];
  }
  Driver::Answer Export(uint64_t handle, uint64_t length) {
    Request request = {};
    request.operation = Operation::kShareCreate;
    request.handle = handle;
    request.length = length;
    return Call(request);
  }
  int Free(uint64_t handle) {
    Request request = {};
    request.operation = Operation::kFree;
    request.handle = handle;
    return Call(request).reply.error;
  }
  Driver::Answer WithKey(Operation operation, const char* key, uint32_t device = 0,
                         std::vector<int32_t> pids = {}) {
    Request request = {};
    request.operation = operation;
    request.device = device;
    request.address = 0x1000;
    request.count = static_cast<uint32_t>(pids.size());
    std::copy(pids.begin(), pids.end(), request.pids);
    ::snprintf(request.key, sizeof(request.key), "%s", key);
    return Call(request);
  }

 private:
  Driver& driver_;
  ProcessFacts facts_;
};

class DriverTest : public ::testing::Test {
 protected:
  Driver driver_{Node("910c"), [] { return uint64_t{1000000000000}; }, nullptr};
};

TEST_F(DriverTest, HelloSaysWhatTheProcessSees) {
  Caller caller(driver_, 10, {2, 3});
  const Driver::Answer answer = caller.Call(Operation::kHello);
  ASSERT_EQ(answer.reply.error, 0);
  const HelloReply& hello = answer.reply.hello;
  EXPECT_EQ(hello.device_count, 2U);
  EXPECT_EQ(hello.devices[0], 2U);
  EXPECT_EQ(hello.devices[1], 3U);
  EXPECT_EQ(hello.is_host_or_admin, 0U);
  EXPECT_EQ(hello.chip_family, 1U);
  EXPECT_THAT(hello.soc_name, StrEq("Ascend910_9391"));
  EXPECT_EQ(hello.validity_slots, kValiditySlots);
  EXPECT_GE(answer.descriptor, 0);
  EXPECT_EQ(Caller::Host(driver_, 11, {}).Call(Operation::kHello).reply.hello.is_host_or_admin, 1U);
}

TEST_F(DriverTest, TheBareTgidIsTheDriversPid) {
  EXPECT_EQ(Caller(driver_, 4711, {}).Call(Operation::kBareTgid).reply.value32, 4711U);
}

TEST_F(DriverTest, MemoryIsAllocatedOnADeviceThatIsOpen) {
  Caller caller(driver_, 10, {0});
  Request request = {};
  request.operation = Operation::kAllocate;
  request.length = 5;
  request.page_bytes = kHugePage;
  EXPECT_EQ(caller.Call(request).reply.error, ENODEV);
  ASSERT_EQ(caller.Call(Operation::kOpenDevice, 0).reply.error, 0);
  const Driver::Answer answer = caller.Call(request);
  ASSERT_EQ(answer.reply.error, 0);
  EXPECT_EQ(answer.reply.values[1], kHugePage);
  EXPECT_GE(answer.descriptor, 0);
  const Driver::Answer info = caller.Call(Operation::kMemoryInfo, 0);
  EXPECT_EQ(info.reply.values[0], uint64_t{64} << 30);
  EXPECT_EQ(info.reply.values[1], (uint64_t{64} << 30) - kHugePage);
  EXPECT_EQ(caller.Free(answer.reply.values[0]), 0);
  EXPECT_EQ(caller.Free(answer.reply.values[0]), EINVAL);
  EXPECT_EQ(caller.Call(Operation::kMemoryInfo, 0).reply.values[1], uint64_t{64} << 30);
}

TEST_F(DriverTest, AnImportIsTheSameMemory) {
  Caller exporter(driver_, 10, {0}), importer(driver_, 20, {1});
  ASSERT_EQ(exporter.Call(Operation::kOpenDevice, 0).reply.error, 0);
  ASSERT_EQ(importer.Call(Operation::kOpenDevice, 1).reply.error, 0);
  Request request = {};
  request.operation = Operation::kAllocate;
  request.length = kHugePage;
  request.page_bytes = kHugePage;
  const Driver::Answer allocated = exporter.Call(request);
  const ino_t memory = Inode(allocated.descriptor);
  const Driver::Answer key = exporter.Export(allocated.reply.values[0], kHugePage);
  ASSERT_EQ(key.reply.error, 0) << key.reason;
  ASSERT_EQ(exporter.WithKey(Operation::kShareSetPids, key.reply.key, 0, {20}).reply.error, 0);
  ASSERT_EQ(exporter.Call(Operation::kEnablePeer, 0, 1).reply.error, 0);
  EXPECT_EQ(importer.Call(Operation::kPeerStatus, 1, 0).reply.value32, 0U);
  ASSERT_EQ(importer.Call(Operation::kEnablePeer, 1, 0).reply.error, 0)
      << "the peer need not be in its /dev";
  EXPECT_EQ(importer.Call(Operation::kPeerStatus, 1, 0).reply.value32, 1U);
  const Driver::Answer info = importer.WithKey(Operation::kShareInfo, key.reply.key);
  EXPECT_EQ(info.reply.share.length, kHugePage);
  EXPECT_EQ(info.reply.share.device, 0U);

  const Driver::Answer opened = importer.WithKey(Operation::kShareOpen, key.reply.key, 1);
  ASSERT_EQ(opened.reply.error, 0) << opened.reason;
  EXPECT_EQ(Inode(opened.descriptor), memory);
  EXPECT_EQ(opened.reply.share.length, kHugePage);
  EXPECT_EQ(opened.reply.share.page_bytes, kHugePage);
  EXPECT_EQ(importer.WithKey(Operation::kShareClose, key.reply.key).reply.error, 0);
}

TEST_F(DriverTest, ASharesDeviceMustBeOpenInTheImporter) {
  Caller exporter(driver_, 10, {0}), importer(driver_, 20, {1});
  ASSERT_EQ(exporter.Call(Operation::kOpenDevice, 0).reply.error, 0);
  const Driver::Answer key = exporter.Export(exporter.Allocate(0, 1), 1);
  EXPECT_EQ(importer.WithKey(Operation::kShareOpen, key.reply.key, 1).reply.error, ENODEV);
}

TEST_F(DriverTest, AnotherProcessMemoryIsNotExported) {
  Caller exporter(driver_, 10, {0}), other(driver_, 20, {1});
  ASSERT_EQ(exporter.Call(Operation::kOpenDevice, 0).reply.error, 0);
  const uint64_t handle = exporter.Allocate(0, 1);
  EXPECT_EQ(other.Export(handle, 1).reply.error, EINVAL);
  EXPECT_EQ(other.Free(handle), EINVAL);
  EXPECT_EQ(exporter.Export(0, 1).reply.error, EINVAL);
}

TEST_F(DriverTest, TheLastCloseOfADeviceTakesBackWhatTheProcessHasThere) {
  Caller caller(driver_, 10, {0, 1});
  for (const uint32_t device : {0U, 1U}) {
    ASSERT_EQ(caller.Call(Operation::kOpenDevice, device).reply.error, 0);
  }
  ASSERT_EQ(caller.Call(Operation::kOpenDevice, 0).reply.error, 0);
  const uint64_t handle = caller.Allocate(0, 1), elsewhere = caller.Allocate(1, 1);
  const Driver::Answer key = caller.Export(handle, 1);
  ASSERT_EQ(caller.Call(Operation::kCloseDevice, 0).reply.error, 0);
  EXPECT_EQ(caller.WithKey(Operation::kShareInfo, key.reply.key).reply.error, 0);
  ASSERT_EQ(caller.Call(Operation::kCloseDevice, 0).reply.error, 0);
  EXPECT_EQ(caller.WithKey(Operation::kShareInfo, key.reply.key).reply.error, EINVAL);
  EXPECT_EQ(caller.Free(handle), EINVAL);
  EXPECT_EQ(caller.Free(elsewhere), 0);
  EXPECT_EQ(caller.Call(Operation::kCloseDevice, 0).reply.error, EINVAL);
}

TEST_F(DriverTest, TheEndOfAProcessTakesBackEverything) {
  Caller other(driver_, 20, {0});
  {
    Caller caller(driver_, 10, {0, 1});
    ASSERT_EQ(caller.Call(Operation::kOpenDevice, 0).reply.error, 0);
    ASSERT_EQ(caller.Call(Operation::kEnablePeer, 0, 1).reply.error, 0);
    caller.Allocate(0, 1);
  }
  ASSERT_EQ(other.Call(Operation::kOpenDevice, 0).reply.error, EBUSY);
  driver_.EndProcess(10);
  ASSERT_EQ(other.Call(Operation::kOpenDevice, 0).reply.error, 0);
  EXPECT_EQ(other.Call(Operation::kMemoryInfo, 0).reply.values[1], uint64_t{64} << 30);
  Caller peer(driver_, 30, {1});
  ASSERT_EQ(peer.Call(Operation::kEnablePeer, 1, 0).reply.error, 0);
  EXPECT_EQ(peer.Call(Operation::kPeerStatus, 1, 0).reply.value32, 0U);
}

TEST_F(DriverTest, RecordsHoldWhatTheNodeFileSays) {
  Caller caller(driver_, 10, {5});
  ASSERT_EQ(caller.Call(Operation::kOpenDevice, 5).reply.error, 0);
  caller.Allocate(5, uint64_t{16} << 30);
  const Driver::Answer answer = caller.Call(Operation::kDeviceRecord, 5);
  ASSERT_EQ(answer.reply.error, 0);
  const DeviceRecord& record = answer.reply.record;
  EXPECT_EQ(record.physical_id, 5U);
  EXPECT_EQ(record.card_id, 2U);
  EXPECT_EQ(record.device_id_in_card, 1U);
  EXPECT_EQ(record.health, 0U);
  EXPECT_EQ(record.ai_core_count, 24U);
  EXPECT_EQ(record.pci_vendor_id, 0x19e5U);
  EXPECT_EQ(record.pci_device_id, 0xd803U);
  EXPECT_EQ(record.memory_total_bytes, uint64_t{64} << 30);
  EXPECT_EQ(record.memory_used_bytes, uint64_t{16} << 30);
  EXPECT_EQ(record.utilization_percent[6], 25U);
  EXPECT_EQ(record.super_pod_device_id, 0x00090005U);
  EXPECT_EQ(caller.Call(Operation::kDeviceRecord, 4).reply.error, ENODEV);
  EXPECT_EQ(Caller(driver_, 20, {5}).Call(Operation::kDeviceRecord, 5).reply.error, EBUSY);
  EXPECT_EQ(Caller::Host(driver_, 30, {5}).Call(Operation::kDeviceRecord, 5).reply.error, 0);
}

TEST_F(DriverTest, LinksAreDcmisNumbers) {
  Caller caller(driver_, 10, {4, 5, 6});
  EXPECT_EQ(caller.Call(Operation::kDeviceLink, 4, 4).reply.value32, 0U);
  EXPECT_EQ(caller.Call(Operation::kDeviceLink, 4, 5).reply.value32, 6U);
  EXPECT_EQ(caller.Call(Operation::kDeviceLink, 4, 6).reply.value32, 7U);
  EXPECT_EQ(caller.Call(Operation::kDeviceLink, 4, 7).reply.error, ENODEV);
}

TEST_F(DriverTest, ProcessesOfOtherContainersAreShownToHostAndAdminOnly) {
  Caller caller(driver_, 10, {0});
  Caller host = Caller::Host(driver_, 1, {0});
  ASSERT_EQ(host.Call(Operation::kOpenDevice, 0).reply.error, 0);
  ASSERT_EQ(caller.Call(Operation::kOpenDevice, 0).reply.error, 0);
  caller.Allocate(0, 1);
  EXPECT_EQ(host.Call(Operation::kDeviceProcesses, 0).reply.processes.count, 1U)
      << "those that hold memory";
  host.Allocate(0, 1);
  const ProcessList own = caller.Call(Operation::kDeviceProcesses, 0).reply.processes;
  ASSERT_EQ(own.count, 1U);
  EXPECT_EQ(own.processes[0].host_pid, 10);
  EXPECT_EQ(own.processes[0].memory_bytes, kHugePage);
  EXPECT_EQ(host.Call(Operation::kDeviceProcesses, 0).reply.processes.count, 2U);
}

TEST_F(DriverTest, ARemovedDeviceIsNotThereAndComesBackUnderAnotherNumber) {
  Caller caller(driver_, 10, {2, 3, 5});
  ASSERT_TRUE(driver_.conditions().Remove(3).ok());
  EXPECT_EQ(driver_.conditions().Remove(3).error, ENODEV);
  const HelloReply without = caller.Call(Operation::kHello).reply.hello;
  ASSERT_EQ(without.device_count, 2U);
  EXPECT_EQ(without.devices[1], 5U);
  EXPECT_EQ(caller.Call(Operation::kDeviceRecord, 3).reply.error, ENODEV);
  EXPECT_EQ(caller.Call(Operation::kOpenDevice, 3).reply.error, ENODEV);
  EXPECT_EQ(caller.Call(Operation::kDeviceLink, 2, 3).reply.error, ENODEV);

  EXPECT_EQ(driver_.conditions().Restore(3, 16).error, EINVAL);
  ASSERT_TRUE(driver_.conditions().Restore(3, 0).ok());
  EXPECT_EQ(driver_.conditions().Restore(3, 0).error, EEXIST);
  const HelloReply back = caller.Call(Operation::kHello).reply.hello;
  ASSERT_EQ(back.device_count, 3U);
  EXPECT_EQ(back.devices[0], 3U);
  EXPECT_EQ(back.devices[1], 2U);
  EXPECT_EQ(caller.Call(Operation::kDeviceRecord, 3).reply.error, 0);
}

TEST_F(DriverTest, HealthIsThatOfTheWorstFaultUnlessItIsSet) {
  Caller caller(driver_, 10, {1});
  DeviceConditions& conditions = driver_.conditions();
  Fault fault;
  fault.code = 0x80e18005;
  fault.severity = 2;
  ASSERT_TRUE(conditions.Raise(1, fault).ok());
  fault.code = 0x8c1f8608;
  fault.severity = 1;
  ASSERT_TRUE(conditions.Raise(1, fault).ok());
  DeviceRecord record = caller.Call(Operation::kDeviceRecord, 1).reply.record;
  EXPECT_EQ(record.health, 2U);
  ASSERT_EQ(record.fault_count, 2U);
  EXPECT_EQ(record.fault_codes[0], 0x80e18005U);
  ASSERT_TRUE(conditions.Clear(1, 0x80e18005).ok());
  EXPECT_EQ(conditions.Clear(1, 0x80e18005).error, ENOENT);
  EXPECT_EQ(caller.Call(Operation::kDeviceRecord, 1).reply.record.health, 1U);
  conditions.Mutable(1).health = 3;
  EXPECT_EQ(caller.Call(Operation::kDeviceRecord, 1).reply.record.health, 3U);
  conditions.Mutable(1).health = DeviceCondition::kHealthOfFaults;
  conditions.ClearAll(1);
  record = caller.Call(Operation::kDeviceRecord, 1).reply.record;
  EXPECT_EQ(record.health, 0U);
  EXPECT_EQ(record.fault_count, 0U);
}

TEST_F(DriverTest, ARecordHasRoomForThirtyTwoFaults) {
  Fault fault;
  for (fault.code = 1; fault.code <= 32; ++fault.code) {
    ASSERT_TRUE(driver_.conditions().Raise(0, fault).ok());
  }
  EXPECT_EQ(driver_.conditions().Raise(0, fault).error, ENOSPC);
  fault.code = 32;
  EXPECT_TRUE(driver_.conditions().Raise(0, fault).ok()) << "it is there already";
}

TEST_F(DriverTest, ExtraMemoryIsInUse) {
  Caller caller(driver_, 10, {0});
  driver_.conditions().Mutable(0).extra_memory_bytes = uint64_t{32} << 30;
  const DeviceRecord record = caller.Call(Operation::kDeviceRecord, 0).reply.record;
  EXPECT_EQ(record.memory_used_bytes, uint64_t{32} << 30);
  EXPECT_EQ(record.utilization_percent[6], 50U);
  driver_.conditions().Mutable(0).extra_memory_bytes = UINT64_MAX / 2;
  EXPECT_EQ(caller.Call(Operation::kDeviceRecord, 0).reply.record.memory_used_bytes,
            uint64_t{64} << 30)
      << "never more than there is";
}

TEST_F(DriverTest, TroubleOfDcmiIsDcmisAlone) {
  Caller caller(driver_, 10, {0, 1});
  Request dcmi = {};
  dcmi.operation = Operation::kDeviceRecord;
  dcmi.through_dcmi = 1;
  Request runtime = dcmi;
  runtime.through_dcmi = 0;
  driver_.conditions().TroubleOf(0) = {true, -8012};
  EXPECT_EQ(caller.Call(dcmi).reply.dcmi_code, -8012);
  EXPECT_TRUE(driver_.Hangs(dcmi));
  EXPECT_EQ(caller.Call(runtime).reply.dcmi_code, 0);
  EXPECT_FALSE(driver_.Hangs(runtime));
  dcmi.device = 1;
  EXPECT_EQ(caller.Call(dcmi).reply.dcmi_code, 0);
  EXPECT_FALSE(driver_.Hangs(dcmi));
  dcmi.device = UINT32_MAX;
  EXPECT_FALSE(driver_.Hangs(dcmi));
  driver_.conditions().trouble() = {true, -8005};
  dcmi.operation = Operation::kHello;
  EXPECT_EQ(caller.Call(dcmi).reply.dcmi_code, -8005);
  EXPECT_TRUE(driver_.Hangs(dcmi));
}

TEST_F(DriverTest, SixtyFourProcessesHearOfFaults) {
  std::vector<Caller> callers;
  for (pid_t pid = 1; pid <= 65; ++pid)
    callers.emplace_back(driver_, pid, std::vector<uint32_t>{0});
  for (size_t i = 0; i < 64; ++i) {
    ASSERT_EQ(callers[i].Call(Operation::kSubscribeFaults).reply.error, 0);
  }
  EXPECT_EQ(callers[0].Call(Operation::kSubscribeFaults).reply.error, EBUSY);
  EXPECT_EQ(callers[64].Call(Operation::kSubscribeFaults).reply.error, EBUSY);
  driver_.EndProcess(7);
  EXPECT_EQ(callers[64].Call(Operation::kSubscribeFaults).reply.error, 0);
}

TEST_F(DriverTest, AProcessHearsOfTheDevicesThatItSeesByItsOwnNumbers) {
  Caller caller(driver_, 10, {3, 6});
  Fault fault;
  fault.code = 7;
  fault.severity = 1;
  fault.name = std::string(500, 'x');
  const auto message = driver_.FaultMessageFor(10, 6, fault, FaultAssertion::kRaised);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->logical_id, 1U);
  EXPECT_EQ(message->code, 7U);
  EXPECT_EQ(message->assertion, 1U);
  EXPECT_EQ(strnlen(message->name, sizeof(message->name)), sizeof(message->name) - 1);
  EXPECT_FALSE(driver_.FaultMessageFor(10, 4, fault, FaultAssertion::kRaised).has_value());
  EXPECT_FALSE(driver_.FaultMessageFor(11, 6, fault, FaultAssertion::kRaised).has_value());
}

TEST_F(DriverTest, DeviceShareIsSetFromTheHost) {
  Caller caller(driver_, 10, {0});
  Caller host = Caller::Host(driver_, 1, {0});
  Request request = {};
  request.operation = Operation::kSetDeviceShare;
  request.value32 = 1;
  EXPECT_EQ(caller.Call(request).reply.error, EPERM);
  EXPECT_EQ(host.Call(request).reply.error, 0);
  EXPECT_EQ(caller.Call(Operation::kDeviceRecord, 0).reply.record.device_share, 1U);
  request.value32 = 2;
  EXPECT_EQ(host.Call(request).reply.error, EINVAL);
}

TEST(DriverOfABox16Test, PeerAccessAcrossTheGroupsIsForTheSamePosition) {
  Driver driver(
      Node("910b-box16"), [] { return uint64_t{0}; }, nullptr);
  Caller caller(driver, 10, {0, 1, 7, 8, 9, 15});
  EXPECT_EQ(caller.Call(Operation::kEnablePeer, 0, 7).reply.error, 0);
  EXPECT_EQ(caller.Call(Operation::kEnablePeer, 0, 8).reply.error, 0);
  EXPECT_EQ(caller.Call(Operation::kEnablePeer, 15, 7).reply.error, 0);
  EXPECT_EQ(caller.Call(Operation::kEnablePeer, 0, 9).reply.error, EINVAL);
  EXPECT_EQ(caller.Call(Operation::kEnablePeer, 8, 7).reply.error, EINVAL);
}

TEST_F(DriverTest, NonsenseIsRefused) {
  Caller caller(driver_, 10, {0});
  EXPECT_EQ(caller.Call(static_cast<Operation>(999)).reply.error, EINVAL);
  EXPECT_EQ(caller.WithKey(Operation::kShareInfo, "").reply.error, EINVAL);
  EXPECT_EQ(caller.WithKey(Operation::kShareInfo, std::string(65, '0').c_str()).reply.error,
            EINVAL);
  Request unterminated = {};
  unterminated.operation = Operation::kShareOpen;
  memset(unterminated.key, 'a', sizeof(unterminated.key));
  EXPECT_EQ(caller.Call(unterminated).reply.error, EINVAL);
  for (const uint32_t device : {1U, 16U, UINT32_MAX}) {
    for (const Operation operation :
         {Operation::kOpenDevice, Operation::kMemoryInfo, Operation::kDeviceRecord,
          Operation::kDeviceProcesses, Operation::kDeviceLink, Operation::kEnablePeer}) {
      EXPECT_EQ(caller.Call(operation, device, 0).reply.error, ENODEV);
    }
  }
  Request unknown = {};
  unknown.operation = Operation::kHello;
  EXPECT_EQ(driver_.Handle(99, unknown).reply.error, ESRCH);
}

}  // namespace
}  // namespace npu_ipc::sim
