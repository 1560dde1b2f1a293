// The simulator's libdcmi.so, loaded as programs load it, over the real driver's state in this
// process: which container the library's process is, and what is in its /dev, the test says.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>

#include "hal/base/unix_socket.h"
#include "hal/dcmi/dcmi_interface_api.h"
#include "hal/sim/driver/driver.h"
#include "npu_ipc/hal/device_manager.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/hal/sim/driver_socket.h"

namespace npu_ipc::sim {
namespace {

using hal::DeviceInventory;
using hal::LinkType;
using ::testing::IsEmpty;

constexpr pid_t kCaller = 1000;  // who the library's process is to the driver
constexpr pid_t kOther = 2000;

ProcessFacts Facts(pid_t pid, uint64_t mount_namespace, uint32_t devices) {
  ProcessFacts facts;
  facts.pid = pid;
  facts.mount_namespace = mount_namespace;
  for (uint32_t i = 0; i < devices; ++i) facts.devices.push_back(i);
  return facts;
}

// A driver that takes every connection for kCaller's.
class InProcessDriver {
 public:
  InProcessDriver(const std::string& socket_path, NodeShape shape)
      : driver_(
            std::move(shape), [] { return uint64_t{0}; }, nullptr),
        socket_(socket_path, {nullptr, [this](UniqueFd& client) { Answer(client); }}) {}

  void SetFacts(const ProcessFacts& facts) {
    std::lock_guard<std::mutex> lock(mutex_);
    driver_.SetFacts(facts);
  }
  Reply Handle(pid_t pid, const Request& request) {
    std::lock_guard<std::mutex> lock(mutex_);
    return driver_.Handle(pid, request).reply;
  }

 private:
  void Answer(UniqueFd& client) {
    Request request;
    Result<ReceivedMessage> received = ReceiveMessage(client.get(), &request, sizeof(request));
    if (!received.ok() || received->end_of_stream) return client.Reset();
    std::lock_guard<std::mutex> lock(mutex_);
    const Driver::Answer answer = driver_.Handle(kCaller, request);
    EXPECT_TRUE(
        SendMessage(client.get(), &answer.reply, sizeof(answer.reply), answer.descriptor).ok());
  }

  std::mutex mutex_;
  Driver driver_;
  DriverSocket socket_;  // the last: its thread uses the others
};

class LibdcmiTest : public ::testing::Test {
 protected:
  // A copy of the library with a driver beside it. Copied, so that the loader takes each test's
  // for a library of its own.
  LibdcmiTest() : library_(directory_.Path("libdcmi.so")) {
    std::filesystem::copy_file(NPU_IPC_SIM_LIBDCMI, library_);
  }

  void StartNode(const std::string& node) {
    Result<NodeShape> shape = LoadNodeShape(node, NPU_IPC_SIM_NODES);
    ASSERT_TRUE(shape.ok()) << shape.status().message();
    const uint32_t devices = static_cast<uint32_t>(shape->devices.size());
    driver_ =
        std::make_unique<InProcessDriver>(directory_.Path(kSocketFileName), std::move(*shape));
    ProcessFacts host = Facts(kCaller, 1, devices);
    host.is_host = true;
    driver_->SetFacts(host);
  }

  // The loaded library's function.
  template <class Fn>
  Fn Function(const char* name) {
    if (handle_ == nullptr) handle_ = ::dlopen(library_.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle_, nullptr) << ::dlerror();
    Fn found = reinterpret_cast<Fn>(::dlsym(handle_, name));
    EXPECT_NE(found, nullptr) << name;
    return found;
  }

  // kOther opens a device in a container of its own.
  void OccupyDevice(uint32_t device) {
    driver_->SetFacts(Facts(kOther, 77, 16));
    Request request = {};
    request.operation = Operation::kOpenDevice;
    request.device = device;
    ASSERT_EQ(driver_->Handle(kOther, request).error, 0);
  }

  TemporaryDirectory directory_;
  const std::string library_;
  std::unique_ptr<InProcessDriver> driver_;
  void* handle_ = nullptr;
};

#define DCMI(name) Function<decltype(&::name)>(#name)

TEST_F(LibdcmiTest, DiscoveryFindsThe910BNode) {
  StartNode("910b");
  auto manager = hal::OpenDcmi(library_, "/nonexistent");
  ASSERT_TRUE(manager.ok()) << manager.status().message();
  Result<DeviceInventory> inventory = (*manager)->Devices();
  ASSERT_TRUE(inventory.ok()) << inventory.status().message();
  ASSERT_EQ(inventory->devices.size(), 8u);
  EXPECT_THAT(inventory->skipped, IsEmpty());
  for (uint32_t i = 0; i < 8; ++i) {
    EXPECT_EQ(inventory->devices[i].physical_id, i);
    EXPECT_EQ(inventory->devices[i].logical_id, i);
    EXPECT_EQ(inventory->devices[i].family, hal::ChipFamily::kAscend910B);
    EXPECT_EQ(inventory->devices[i].chip_name, "910B3");
    EXPECT_EQ(inventory->devices[i].memory_bytes, 64ull << 30);
    EXPECT_FALSE(inventory->devices[i].serial.empty());
    EXPECT_FALSE(inventory->devices[i].pci_address.empty());
    EXPECT_EQ((*manager)->Health(i)->level, hal::HealthLevel::kOk);
    EXPECT_EQ((*manager)->Usage(i)->memory_used_bytes, 0u);
    EXPECT_EQ(*(*manager)->Link(0, i), i == 0 ? LinkType::kSelf : LinkType::kHccs);
  }
  EXPECT_NE(inventory->devices[0].serial, inventory->devices[1].serial);
  EXPECT_FALSE((*manager)->DriverVersion()->empty());
}

TEST_F(LibdcmiTest, DiscoveryFindsThe910CNode) {
  StartNode("910c");
  auto manager = hal::OpenDcmi(library_, "/nonexistent");
  ASSERT_TRUE(manager.ok()) << manager.status().message();
  Result<DeviceInventory> inventory = (*manager)->Devices();
  ASSERT_TRUE(inventory.ok()) << inventory.status().message();
  ASSERT_EQ(inventory->devices.size(), 16u);
  EXPECT_THAT(inventory->skipped, IsEmpty());
  EXPECT_EQ(inventory->devices[5].family, hal::ChipFamily::kAscend910C);
  EXPECT_EQ(inventory->devices[5].card_id, 2u);
  EXPECT_EQ(inventory->devices[5].device_id_in_card, 1u);
  EXPECT_EQ(*(*manager)->Link(4, 5), LinkType::kSio);
  EXPECT_EQ(*(*manager)->Link(5, 6), LinkType::kHccsSwitch);
}

TEST_F(LibdcmiTest, DiscoveryFindsTheBox16Node) {
  StartNode("910b-box16");
  auto manager = hal::OpenDcmi(library_, "/nonexistent");
  ASSERT_TRUE(manager.ok()) << manager.status().message();
  Result<DeviceInventory> inventory = (*manager)->Devices();
  ASSERT_TRUE(inventory.ok()) << inventory.status().message();
  ASSERT_EQ(inventory->devices.size(), 16u);
  EXPECT_EQ(inventory->devices[15].family, hal::ChipFamily::kAscend910B);
  EXPECT_EQ(inventory->devices[15].chip_name, "910B2C");
  EXPECT_EQ(*(*manager)->Link(8, 15), LinkType::kHccs);
  EXPECT_TRUE(hal::LinkCarriesPeerAccess(*(*manager)->Link(3, 11)));
  EXPECT_FALSE(hal::LinkCarriesPeerAccess(*(*manager)->Link(3, 12)));
}

// The kernel of this machine does not list the node's PCI devices: DCMI's CPUs tell the NUMA node.
TEST_F(LibdcmiTest, CpuAffinityNamesTheNumaNode) {
  StartNode("910b");
  const std::pair<int, const char*> nodes[] = {
      {0, "0-23"}, {2, "48-71"}, {4, "96-119"}, {6, "144-167"}};
  for (const auto& [node, cpus] : nodes) {
    const std::string path = directory_.Path("sys/devices/system/node/node") + std::to_string(node);
    std::filesystem::create_directories(path);
    std::ofstream(path + "/cpulist") << cpus << "\n";
  }
  auto manager = hal::OpenDcmi(library_, directory_.Path("sys"));
  ASSERT_TRUE(manager.ok()) << manager.status().message();
  Result<DeviceInventory> inventory = (*manager)->Devices();
  ASSERT_TRUE(inventory.ok()) << inventory.status().message();
  ASSERT_EQ(inventory->devices.size(), 8u);
  for (const hal::Device& device : inventory->devices) {
    ASSERT_TRUE(device.numa_node.has_value()) << device.physical_id;
    char text[64] = {};
    int length = 0;
    ASSERT_EQ(DCMI(dcmi_get_affinity_cpu_info_by_device_id)(static_cast<int>(device.card_id), 0,
                                                            text, &length),
              DCMI_OK);
    const auto expected = std::find_if(std::begin(nodes), std::end(nodes), [&](const auto& node) {
      return node.second == std::string(text);
    });
    ASSERT_NE(expected, std::end(nodes)) << text;
    EXPECT_EQ(*device.numa_node, expected->first);
  }
}

TEST_F(LibdcmiTest, NumbersFollowWhatTheCallerSees) {
  StartNode("910c");
  ProcessFacts container = Facts(kCaller, 5, 0);
  container.devices = {3, 6};
  driver_->SetFacts(container);
  ASSERT_EQ(DCMI(dcmi_init)(), DCMI_OK);
  int count = 0;
  int cards[64] = {};
  ASSERT_EQ(DCMI(dcmi_get_card_list)(&count, cards, 64), DCMI_OK);
  ASSERT_EQ(count, 2);
  EXPECT_EQ(cards[0], 1);
  EXPECT_EQ(cards[1], 3);
  int devices = 0;
  ASSERT_EQ(DCMI(dcmi_get_device_num_in_card)(1, &devices), DCMI_OK);
  EXPECT_EQ(devices, 1);
  int logical = -1;
  EXPECT_EQ(DCMI(dcmi_get_device_logic_id)(&logical, 1, 1), DCMI_OK);
  EXPECT_EQ(logical, 0);
  EXPECT_EQ(DCMI(dcmi_get_device_logic_id)(&logical, 1, 0), DCMI_ERR_CODE_DEVICE_NOT_EXIST);
  unsigned int physical = 0;
  EXPECT_EQ(DCMI(dcmi_get_device_phyid_from_logicid)(1, &physical), DCMI_OK);
  EXPECT_EQ(physical, 6u);
  EXPECT_EQ(DCMI(dcmi_get_device_phyid_from_logicid)(2, &physical),
            DCMI_ERR_CODE_INVALID_DEVICE_ID);
  unsigned int logical_id = 9;
  EXPECT_EQ(DCMI(dcmi_get_device_logicid_from_phyid)(6, &logical_id), DCMI_OK);
  EXPECT_EQ(logical_id, 1u);
  int card = -1;
  int device = -1;
  EXPECT_EQ(DCMI(dcmi_get_card_id_device_id_from_logicid)(&card, &device, 0), DCMI_OK);
  EXPECT_EQ(card, 1);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(DCMI(dcmi_get_card_id_device_id_from_phyid)(&card, &device, 0),
            DCMI_ERR_CODE_DEVICE_NOT_EXIST);
}

TEST_F(LibdcmiTest, TheControllerComesAfterTheNpus) {
  const struct {
    const char* node;
    int npus;
  } kNodes[] = {{"910b", 1}, {"910c", 2}};
  for (const auto& [node, npus] : kNodes) {
    driver_.reset();
    StartNode(node);
    ASSERT_EQ(DCMI(dcmi_init)(), DCMI_OK);
    int max = 0;
    int mcu = 0;
    int cpu = 0;
    ASSERT_EQ(DCMI(dcmi_get_device_id_in_card)(3, &max, &mcu, &cpu), DCMI_OK);
    EXPECT_EQ(max, npus);
    EXPECT_EQ(mcu, npus);
    EXPECT_EQ(cpu, -1);
    dcmi_unit_type type = INVALID_TYPE;
    ASSERT_EQ(DCMI(dcmi_get_device_type)(3, npus - 1, &type), DCMI_OK);
    EXPECT_EQ(type, NPU_TYPE);
    ASSERT_EQ(DCMI(dcmi_get_device_type)(3, npus, &type), DCMI_OK);
    EXPECT_EQ(type, MCU_TYPE);
    dcmi_hbm_info memory;
    EXPECT_EQ(DCMI(dcmi_get_device_hbm_info)(3, npus, &memory), DCMI_ERR_CODE_NOT_SUPPORT);
  }
}

TEST_F(LibdcmiTest, BadDevicesHaveTheVendorsCodes) {
  StartNode("910b");
  unsigned int health = 0;
  EXPECT_EQ(DCMI(dcmi_get_device_health)(-1, 0, &health), DCMI_ERR_CODE_INVALID_DEVICE_ID);
  EXPECT_EQ(DCMI(dcmi_get_device_health)(0, -1, &health), DCMI_ERR_CODE_INVALID_DEVICE_ID);
  EXPECT_EQ(DCMI(dcmi_get_device_health)(0, 2, &health), DCMI_ERR_CODE_INVALID_DEVICE_ID);
  EXPECT_EQ(DCMI(dcmi_get_device_health)(8, 0, &health), DCMI_ERR_CODE_DEVICE_NOT_EXIST);
  int devices = 0;
  EXPECT_EQ(DCMI(dcmi_get_device_num_in_card)(8, &devices), DCMI_ERR_CODE_DEVICE_NOT_EXIST);
}

TEST_F(LibdcmiTest, BadParametersHaveTheVendorsCode) {
  StartNode("910b");
  int number = 0;
  unsigned int value = 0;
  char text[4];
  EXPECT_EQ(DCMI(dcmi_get_card_list)(nullptr, &number, 1), DCMI_ERR_CODE_INVALID_PARAMETER);
  EXPECT_EQ(DCMI(dcmi_get_card_list)(&number, &number, 0), DCMI_ERR_CODE_INVALID_PARAMETER);
  EXPECT_EQ(DCMI(dcmi_get_device_health)(0, 0, nullptr), DCMI_ERR_CODE_INVALID_PARAMETER);
  EXPECT_EQ(DCMI(dcmi_get_driver_version)(text, 1), DCMI_ERR_CODE_INVALID_PARAMETER);
  EXPECT_EQ(DCMI(dcmi_get_device_utilization_rate)(0, 0, 0, &value),
            DCMI_ERR_CODE_INVALID_PARAMETER);
  EXPECT_EQ(DCMI(dcmi_set_device_share_enable)(0, 0, 2), DCMI_ERR_CODE_INVALID_PARAMETER);
  EXPECT_EQ(DCMI(dcmi_get_device_die_v2)(0, 0, VDIE, nullptr), DCMI_ERR_CODE_INVALID_PARAMETER);
}

TEST_F(LibdcmiTest, AShortCardListIsCut) {
  StartNode("910b");
  int count = 0;
  int cards[2] = {-1, -1};
  ASSERT_EQ(DCMI(dcmi_get_card_list)(&count, cards, 1), DCMI_OK);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cards[1], -1);
}

TEST_F(LibdcmiTest, ADeviceOfAnotherContainerIsOccupied) {
  StartNode("910b");
  OccupyDevice(1);
  driver_->SetFacts(Facts(kCaller, 5, 8));
  unsigned int health = 0;
  EXPECT_EQ(DCMI(dcmi_init)(), DCMI_OK);
  EXPECT_EQ(DCMI(dcmi_get_device_health)(1, 0, &health), DCMI_ERR_CODE_RESOURCE_OCCUPIED);
  EXPECT_EQ(DCMI(dcmi_get_device_health)(0, 0, &health), DCMI_OK);
}

TEST_F(LibdcmiTest, AContainerWithNothingButOccupiedDevicesCannotInitialise) {
  StartNode("910b");
  OccupyDevice(0);
  driver_->SetFacts(Facts(kCaller, 5, 1));
  EXPECT_EQ(DCMI(dcmi_init)(), DCMI_ERR_CODE_INNER_ERR);
}

TEST_F(LibdcmiTest, WithoutADriverNothingIsReady) {
  unsigned int health = 0;
  EXPECT_EQ(DCMI(dcmi_init)(), DCMI_ERR_CODE_NOT_REDAY);
  EXPECT_EQ(DCMI(dcmi_get_device_health)(0, 0, &health), DCMI_ERR_CODE_NOT_REDAY);
  StartNode("910b");
  EXPECT_EQ(DCMI(dcmi_get_device_health)(0, 0, &health), DCMI_OK);
  driver_.reset();
  EXPECT_EQ(DCMI(dcmi_get_device_health)(0, 0, &health), DCMI_ERR_CODE_NOT_REDAY);
  StartNode("910c");
  EXPECT_EQ(DCMI(dcmi_get_device_health)(7, 1, &health), DCMI_OK) << "another node by now";
}

TEST_F(LibdcmiTest, DeviceShareIsSetFromTheHostWhileTheCardIsFree) {
  StartNode("910b");
  auto manager = hal::OpenDcmi(library_, "/nonexistent");
  ASSERT_TRUE(manager.ok()) << manager.status().message();
  EXPECT_FALSE(*(*manager)->DeviceShare(2));
  ASSERT_TRUE((*manager)->SetDeviceShare(2, true).ok());
  EXPECT_TRUE(*(*manager)->DeviceShare(2));
  OccupyDevice(3);
  EXPECT_EQ((*manager)->SetDeviceShare(3, true).code(), StatusCode::kFailedPrecondition);
  driver_->SetFacts(Facts(kCaller, 5, 8));
  EXPECT_EQ((*manager)->SetDeviceShare(4, true).code(), StatusCode::kPermissionDenied);
}

TEST_F(LibdcmiTest, ListsTheProcessesOfADevice) {
  StartNode("910b");
  OccupyDevice(2);
  auto manager = hal::OpenDcmi(library_, "/nonexistent");
  ASSERT_TRUE(manager.ok()) << manager.status().message();
  EXPECT_TRUE((*manager)->Processes(2)->empty()) << "it holds no memory";
  Request request = {};
  request.operation = Operation::kAllocate;
  request.device = 2;
  request.length = 2 << 20;
  request.page_bytes = 2 << 20;
  ASSERT_EQ(driver_->Handle(kOther, request).error, 0);
  EXPECT_EQ((*manager)->Usage(2)->memory_used_bytes, 2u << 20);
  auto processes = (*manager)->Processes(2);
  ASSERT_TRUE(processes.ok()) << processes.status().message();
  ASSERT_EQ(processes->size(), 1u);
  EXPECT_EQ((*processes)[0].host_pid, kOther);
  EXPECT_EQ((*processes)[0].memory_bytes, 2u << 20);
}

TEST_F(LibdcmiTest, SuperPodInformationIs910CsAlone) {
  StartNode("910c");
  dcmi_spod_info info = {};
  unsigned int size = sizeof(info);
  ASSERT_EQ(DCMI(dcmi_get_device_info)(1, 1, DCMI_MAIN_CMD_CHIP_INF,
                                       DCMI_CHIP_INF_SUB_CMD_SPOD_INFO, &info, &size),
            DCMI_OK);
  EXPECT_EQ(info.sdid & 0xffff, 3u) << "the low half is chip * 2 + die";
  size = 4;
  EXPECT_EQ(DCMI(dcmi_get_device_info)(1, 1, DCMI_MAIN_CMD_CHIP_INF,
                                       DCMI_CHIP_INF_SUB_CMD_SPOD_INFO, &info, &size),
            DCMI_ERR_CODE_INVALID_PARAMETER);
  driver_.reset();
  StartNode("910b");
  size = sizeof(info);
  EXPECT_EQ(DCMI(dcmi_get_device_info)(1, 0, DCMI_MAIN_CMD_CHIP_INF,
                                       DCMI_CHIP_INF_SUB_CMD_SPOD_INFO, &info, &size),
            DCMI_ERR_CODE_NOT_SUPPORT);
}

TEST_F(LibdcmiTest, FaultEventsAreForWhoMayAndWhoCanBeCalled) {
  StartNode("910b");
  const dcmi_event_filter all = {};
  auto subscribe = DCMI(dcmi_subscribe_fault_event);
  EXPECT_EQ(subscribe(-1, -1, all, nullptr), DCMI_ERR_CODE_INVALID_PARAMETER);
  const auto ignore = [](dcmi_event*) {};
  EXPECT_EQ(subscribe(8, 0, all, ignore), DCMI_ERR_CODE_DEVICE_NOT_EXIST);
  EXPECT_EQ(subscribe(0, 1, all, ignore), DCMI_ERR_CODE_NOT_SUPPORT) << "the controller";
  EXPECT_EQ(subscribe(-1, 0, all, ignore), DCMI_ERR_CODE_INVALID_DEVICE_ID);
}

TEST_F(LibdcmiTest, WhatIsNotBuiltSaysSo) {
  StartNode("910c");
  char cpus[256];
  int length = 0;
  unsigned int value = 0;
  EXPECT_EQ(DCMI(dcmi_get_affinity_cpu_info_by_device_id)(0, 0, cpus, &length),
            DCMI_ERR_CODE_NOT_SUPPORT);
  EXPECT_EQ(DCMI(dcmi_get_device_utilization_rate)(0, 0, DCMI_UTILIZATION_RATE_DDR, &value),
            DCMI_ERR_CODE_NOT_SUPPORT);
}

TEST_F(LibdcmiTest, AForkedChildAsksForItself) {
  StartNode("910b");
  ASSERT_EQ(DCMI(dcmi_init)(), DCMI_OK);
  auto health = DCMI(dcmi_get_device_health);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    unsigned int value = 9;
    ::_exit(health(1, 0, &value) == DCMI_OK && value == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace npu_ipc::sim
