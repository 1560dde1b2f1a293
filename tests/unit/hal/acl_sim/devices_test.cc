// Devices, their ids and what is known of them, as a program meets them.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vector>

#include "acl/acl.h"
#include "runtime/rt.h"
#include "tests/unit/hal/acl_sim/simulated_node.h"

namespace npu_ipc::sim {
namespace {

class DevicesTest : public ::testing::Test {
 protected:
  SimulatedDriver driver_;
};

// Deprecated, and what torch_npu 2.7.1 calls.
aclError CannVersion(aclCANNPackageName package, aclCANNPackageVersion* version) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return aclsysGetCANNVersion(package, version);
#pragma GCC diagnostic pop
}

uint32_t Count() {
  uint32_t count = 99;
  EXPECT_EQ(aclrtGetDeviceCount(&count), ACL_SUCCESS);
  return count;
}

TEST_F(DevicesTest, AreThoseOfDev) {
  InFreshProcess([] {
    EXPECT_EQ(Count(), 8U);
    EXPECT_STREQ(aclrtGetSocName(), "Ascend910B3");
  });
  ASSERT_EQ(::unlink("/dev/davinci3"), 0);
  InFreshProcess([] {
    EXPECT_EQ(Count(), 7U);
    int32_t physical = -1;
    EXPECT_EQ(aclrtGetPhyDevIdByLogicDevId(3, &physical), ACL_SUCCESS);
    EXPECT_EQ(physical, 4);
    int32_t logic = -1;
    EXPECT_EQ(aclrtGetLogicDevIdByPhyDevId(3, &logic), ACL_ERROR_RT_INVALID_DEVICEID);
    EXPECT_EQ(aclrtGetLogicDevIdByPhyDevId(4, &logic), ACL_SUCCESS);
    EXPECT_EQ(logic, 3);
  });
}

TEST_F(DevicesTest, AreRenumberedByTheEnvironmentWhichAddsNone) {
  InFreshProcess([] {
    ::setenv("ASCEND_RT_VISIBLE_DEVICES", "5,2,8,1", 1);
    EXPECT_EQ(Count(), 2U);
    int32_t id = -1;
    EXPECT_EQ(aclrtGetPhyDevIdByUserDevId(0, &id), ACL_SUCCESS);
    EXPECT_EQ(id, 5);
    EXPECT_EQ(aclrtGetUserDevIdByPhyDevId(2, &id), ACL_SUCCESS);
    EXPECT_EQ(id, 1);
    EXPECT_EQ(aclrtGetLogicDevIdByUserDevId(1, &id), ACL_SUCCESS);
    EXPECT_EQ(id, 2);
    EXPECT_EQ(aclrtGetUserDevIdByLogicDevId(5, &id), ACL_SUCCESS);
    EXPECT_EQ(id, 0);
    EXPECT_EQ(aclrtGetUserDevIdByPhyDevId(1, &id), ACL_ERROR_RT_INVALID_DEVICEID);
    EXPECT_EQ(aclrtSetDevice(2), ACL_ERROR_RT_INVALID_DEVICEID);
    EXPECT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDevice(&id), ACL_SUCCESS);
    EXPECT_EQ(id, 1);
  });
  InFreshProcess([] {
    ::setenv("ASCEND_RT_VISIBLE_DEVICES", "", 1);
    EXPECT_EQ(Count(), 0U);
  });
}

TEST_F(DevicesTest, SetAndResetCount) {
  InFreshProcess([] {
    int32_t device = -1;
    EXPECT_EQ(aclrtGetDevice(&device), ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_EQ(aclrtSetDevice(3), ACL_SUCCESS);
    EXPECT_EQ(aclrtSetDevice(3), ACL_SUCCESS);
    int32_t active = -1;
    EXPECT_EQ(aclrtGetPrimaryCtxState(3, nullptr, &active), ACL_SUCCESS);
    EXPECT_EQ(active, 1);
    EXPECT_EQ(aclrtResetDevice(3), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDevice(&device), ACL_SUCCESS);
    EXPECT_EQ(device, 3);
    EXPECT_EQ(aclrtResetDevice(3), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDevice(&device), ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_EQ(aclrtGetPrimaryCtxState(3, nullptr, &active), ACL_SUCCESS);
    EXPECT_EQ(active, 0);
    EXPECT_NE(aclrtResetDevice(3), ACL_SUCCESS);
    EXPECT_EQ(aclrtSetDevice(3), ACL_SUCCESS);
    EXPECT_EQ(aclrtSetDevice(3), ACL_SUCCESS);
    EXPECT_EQ(aclrtResetDeviceForce(3), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDevice(&device), ACL_ERROR_RT_CONTEXT_NULL);
  });
}

TEST_F(DevicesTest, VersionsComeInParts) {
  InFreshProcess([] {
    aclCANNPackageVersion version = {};
    EXPECT_EQ(CannVersion(ACL_PKG_NAME_CANN, &version), ACL_SUCCESS);
    EXPECT_STREQ(version.version, "8.3.RC1");
    EXPECT_STREQ(version.majorVersion, "8");
    EXPECT_STREQ(version.minorVersion, "3");
    EXPECT_STREQ(version.releaseVersion, "RC1");
    EXPECT_STREQ(version.patchVersion, "");
    char package[] = "driver";
    char driver[ACL_PKG_VERSION_MAX_SIZE] = {};
    EXPECT_EQ(aclsysGetVersionStr(package, driver), ACL_SUCCESS);
    EXPECT_EQ(CannVersion(ACL_PKG_NAME_DRIVER, &version), ACL_SUCCESS);
    EXPECT_STREQ(version.version, driver);
    EXPECT_EQ(CannVersion(ACL_PKG_NAME_HCCL, &version), ACL_ERROR_RT_FEATURE_NOT_SUPPORT);
    EXPECT_STREQ(version.version, driver) << "nothing was written";
    EXPECT_EQ(CannVersion(ACL_PKG_NAME_CANN, nullptr), ACL_ERROR_INVALID_PARAM);
  });
}

TEST_F(DevicesTest, TheCannAttributesAreThoseOfTheChip) {
  const aclCannAttr* attributes = nullptr;
  size_t count = 0;
  ASSERT_EQ(aclGetCannAttributeList(&attributes, &count), ACL_SUCCESS);
  EXPECT_EQ(count, 3U);
  for (size_t i = 0; i < count; ++i) {
    int32_t value = 0;
    EXPECT_EQ(aclGetCannAttribute(attributes[i], &value), ACL_SUCCESS);
    EXPECT_EQ(value, 1) << attributes[i];
  }
  int32_t value = 7;
  EXPECT_EQ(aclGetCannAttribute(ACL_CANN_ATTR_UNDEFINED, &value), ACL_ERROR_INVALID_PARAM);
  EXPECT_EQ(value, 7);
}

TEST_F(DevicesTest, AModeOfOverflowIsTheDevicesUntilItIsReset) {
  InFreshProcess([] {
    aclrtFloatOverflowMode mode = ACL_RT_OVERFLOW_MODE_UNDEF;
    EXPECT_EQ(aclrtGetDeviceSatMode(&mode), ACL_ERROR_RT_CONTEXT_NULL);
    EXPECT_EQ(aclrtSetDeviceSatMode(ACL_RT_OVERFLOW_MODE_INFNAN), ACL_ERROR_RT_CONTEXT_NULL);
    ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
    ASSERT_EQ(aclrtSetDevice(2), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDeviceSatMode(&mode), ACL_SUCCESS);
    EXPECT_EQ(mode, ACL_RT_OVERFLOW_MODE_SATURATION);
    EXPECT_EQ(aclrtSetDeviceSatMode(ACL_RT_OVERFLOW_MODE_INFNAN), ACL_SUCCESS);
    EXPECT_EQ(aclrtSetDeviceSatMode(ACL_RT_OVERFLOW_MODE_UNDEF), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtGetDeviceSatMode(&mode), ACL_SUCCESS);
    EXPECT_EQ(mode, ACL_RT_OVERFLOW_MODE_INFNAN);
    EXPECT_EQ(aclrtGetDeviceSatMode(nullptr), ACL_ERROR_INVALID_PARAM);
    ASSERT_EQ(aclrtSetDevice(1), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDeviceSatMode(&mode), ACL_SUCCESS);
    EXPECT_EQ(mode, ACL_RT_OVERFLOW_MODE_SATURATION) << "another device's";
    ASSERT_EQ(aclrtResetDeviceForce(2), ACL_SUCCESS);
    ASSERT_EQ(aclrtSetDevice(2), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDeviceSatMode(&mode), ACL_SUCCESS);
    EXPECT_EQ(mode, ACL_RT_OVERFLOW_MODE_SATURATION);
  });
}

TEST_F(DevicesTest, ARefusedOneShowsInTheNextCall) {
  InFreshProcess([] {
    EXPECT_EQ(Count(), 8U);
    ASSERT_EQ(::unlink("/dev/davinci1"), 0);
    EXPECT_NE(aclrtSetDevice(1), ACL_SUCCESS);
    const char* message = aclGetRecentErrMsg();
    ASSERT_NE(message, nullptr);
    EXPECT_NE(::strstr(message, "/dev/davinci1"), nullptr) << message;
    void* pointer = nullptr;
    EXPECT_EQ(aclrtMalloc(&pointer, 4096, ACL_MEM_MALLOC_HUGE_FIRST), ACL_ERROR_RT_CONTEXT_NULL);
  });
}

TEST_F(DevicesTest, ResettingTheLastTimeFreesWhatWasThere) {
  InFreshProcess([] {
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    size_t free_before = 0;
    size_t total = 0;
    ASSERT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &free_before, &total), ACL_SUCCESS);
    void* pointer = nullptr;
    ASSERT_EQ(aclrtMalloc(&pointer, 4 << 20, ACL_MEM_MALLOC_HUGE_ONLY), ACL_SUCCESS);
    size_t free_after = 0;
    ASSERT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &free_after, &total), ACL_SUCCESS);
    EXPECT_EQ(free_before - free_after, size_t{4} << 20);
    ASSERT_EQ(aclrtResetDevice(0), ACL_SUCCESS);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    ASSERT_EQ(aclrtGetMemInfo(ACL_HBM_MEM, &free_after, &total), ACL_SUCCESS);
    EXPECT_EQ(free_after, free_before);
    EXPECT_NE(aclrtFree(pointer), ACL_SUCCESS);
  });
}

TEST_F(DevicesTest, HaveAttributes) {
  InFreshProcess([] {
    int64_t value = 0;
    EXPECT_EQ(aclrtGetDeviceInfo(2, ACL_DEV_ATTR_AICORE_CORE_NUM, &value), ACL_SUCCESS);
    EXPECT_EQ(value, 20);
    EXPECT_EQ(aclGetDeviceCapability(2, ACL_DEVICE_INFO_AI_CORE_NUM, &value), ACL_SUCCESS);
    EXPECT_EQ(value, 20);
    EXPECT_EQ(aclrtGetDeviceInfo(2, ACL_DEV_ATTR_IS_VIRTUAL, &value), ACL_SUCCESS);
    EXPECT_EQ(value, 0);
    EXPECT_EQ(aclrtGetDeviceInfo(2, ACL_DEV_ATTR_SUPER_POD_DEVICE_ID, &value),
              ACL_ERROR_RT_FEATURE_NOT_SUPPORT);
    EXPECT_EQ(aclrtGetDeviceInfo(8, ACL_DEV_ATTR_IS_VIRTUAL, &value),
              ACL_ERROR_RT_INVALID_DEVICEID);
    EXPECT_EQ(aclrtGetDeviceInfo(2, ACL_DEV_ATTR_IS_VIRTUAL, nullptr), ACL_ERROR_INVALID_PARAM);
    uint64_t links = 0;
    EXPECT_EQ(aclrtGetDevicesTopo(0, 7, &links), ACL_SUCCESS);
    EXPECT_EQ(links, ACL_RT_DEVS_TOPOLOGY_HCCS);
    aclrtDeviceStatus status = ACL_RT_DEVICE_STATUS_END;
    EXPECT_EQ(aclrtQueryDeviceStatus(0, &status), ACL_SUCCESS);
    EXPECT_EQ(status, ACL_RT_DEVICE_STATUS_NORMAL);
  });
}

TEST(SuperPodDevicesTest, KnowTheirPlaceAndLinks) {
  SimulatedDriver driver("910c");
  InFreshProcess([] {
    EXPECT_EQ(Count(), 16U);
    EXPECT_STREQ(aclrtGetSocName(), "Ascend910_9391");
    int64_t value = 0;
    EXPECT_EQ(aclrtGetDeviceInfo(3, ACL_DEV_ATTR_SUPER_POD_DEVICE_ID, &value), ACL_SUCCESS);
    uint32_t server = 99;
    EXPECT_EQ(rtGetServerIDBySDID(static_cast<uint32_t>(value), &server), ACL_SUCCESS);
    EXPECT_EQ(aclrtGetDeviceInfo(3, ACL_DEV_ATTR_SUPER_POD_SERVER_ID, &value), ACL_SUCCESS);
    EXPECT_EQ(server, value);
    uint64_t links = 0;
    EXPECT_EQ(aclrtGetDevicesTopo(0, 1, &links), ACL_SUCCESS);
    EXPECT_EQ(links, ACL_RT_DEVS_TOPOLOGY_SIO);
    EXPECT_EQ(aclrtGetDevicesTopo(0, 2, &links), ACL_SUCCESS);
    EXPECT_EQ(links, ACL_RT_DEVS_TOPOLOGY_HCCS_SW);
  });
}

TEST_F(DevicesTest, ReachTheirPeersInBothDirections) {
  InFreshProcess([] {
    int32_t can = -1;
    EXPECT_EQ(aclrtDeviceCanAccessPeer(&can, 0, 1), ACL_SUCCESS);
    EXPECT_EQ(can, 1);
    EXPECT_EQ(aclrtDeviceCanAccessPeer(&can, 1, 1), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtDeviceEnablePeerAccess(1, 0), ACL_ERROR_RT_CONTEXT_NULL);
    ASSERT_EQ(aclrtSetDevice(0), ACL_SUCCESS);
    EXPECT_EQ(aclrtDeviceEnablePeerAccess(0, 0), ACL_ERROR_INVALID_PARAM);
    EXPECT_EQ(aclrtDeviceEnablePeerAccess(1, 1), ACL_ERROR_FEATURE_UNSUPPORTED);
    EXPECT_EQ(aclrtDeviceEnablePeerAccess(1, 0), ACL_SUCCESS);
    int32_t status = -1;
    EXPECT_EQ(aclrtDevicePeerAccessStatus(0, 1, &status), ACL_SUCCESS);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(rtEnableP2P(1, 0, 0), ACL_SUCCESS);
    EXPECT_EQ(aclrtDevicePeerAccessStatus(0, 1, &status), ACL_SUCCESS);
    EXPECT_EQ(status, 1);
    EXPECT_EQ(aclrtDeviceDisablePeerAccess(1), ACL_SUCCESS);
    EXPECT_NE(aclrtDeviceDisablePeerAccess(1), ACL_SUCCESS);
    uint32_t p2p = 99;
    EXPECT_EQ(rtGetP2PStatus(1, 0, &p2p), ACL_SUCCESS);
    EXPECT_EQ(p2p, 0U);
    EXPECT_EQ(rtDisableP2P(1, 0), ACL_SUCCESS);
  });
}

}  // namespace
}  // namespace npu_ipc::sim
