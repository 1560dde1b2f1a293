#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidArgument;
using npu_ipc::sim::InvalidTimeout;
using npu_ipc::sim::IsTimeout;
using npu_ipc::sim::NotBuiltWith;

aclError aclrtSetDevice(int32_t deviceId) { return rt::SetDevice(deviceId); }

aclError aclrtResetDevice(int32_t deviceId) { return rt::ResetDevice(deviceId, false); }

aclError aclrtResetDeviceForce(int32_t deviceId) { return rt::ResetDevice(deviceId, true); }

aclError aclrtGetDevice(int32_t* deviceId) {
  REQUIRE_NOT_NULL(deviceId);
  return rt::GetDevice(deviceId);
}

aclError aclrtGetDeviceCount(uint32_t* count) {
  REQUIRE_NOT_NULL(count);
  return rt::DeviceCount(count);
}

aclError aclrtGetDeviceInfo(uint32_t deviceId, aclrtDevAttr attr, int64_t* value) {
  REQUIRE_NOT_NULL(value);
  return rt::DeviceAttribute(deviceId, attr, value);
}

aclError aclGetDeviceCapability(uint32_t deviceId, aclDeviceInfo deviceInfo, int64_t* value) {
  REQUIRE_NOT_NULL(value);
  switch (deviceInfo) {
    case ACL_DEVICE_INFO_AI_CORE_NUM:
      return rt::DeviceAttribute(deviceId, ACL_DEV_ATTR_AICORE_CORE_NUM, value);
    case ACL_DEVICE_INFO_VECTOR_CORE_NUM:
      return rt::DeviceAttribute(deviceId, ACL_DEV_ATTR_VECTOR_CORE_NUM, value);
    default:
      return NotBuiltWith(__func__, "for what is not a number of cores");
  }
}

aclError aclrtQueryDeviceStatus(int32_t deviceId, aclrtDeviceStatus* deviceStatus) {
  REQUIRE_NOT_NULL(deviceStatus);
  return rt::DeviceHealth(deviceId, deviceStatus);
}

aclError aclrtGetDeviceUtilizationRate(int32_t deviceId, aclrtUtilizationInfo* utilizationInfo) {
  REQUIRE_NOT_NULL(utilizationInfo);
  if (utilizationInfo->utilizationExtend != nullptr) {
    return InvalidArgument(__func__, "utilizationExtend is reserved and null");
  }
  return rt::DeviceUtilization(deviceId, utilizationInfo);
}

aclError aclrtSetDeviceSatMode(aclrtFloatOverflowMode mode) {
  if (mode != ACL_RT_OVERFLOW_MODE_SATURATION && mode != ACL_RT_OVERFLOW_MODE_INFNAN) {
    return InvalidArgument(__func__, "a mode is SATURATION or INFNAN");
  }
  return rt::SetFloatOverflowMode(mode);
}

aclError aclrtGetDeviceSatMode(aclrtFloatOverflowMode* mode) {
  REQUIRE_NOT_NULL(mode);
  return rt::GetFloatOverflowMode(mode);
}

aclError aclrtGetDevicesTopo(uint32_t deviceId, uint32_t otherDeviceId, uint64_t* value) {
  REQUIRE_NOT_NULL(value);
  return rt::DeviceTopology(deviceId, otherDeviceId, value);
}

aclError aclrtSynchronizeDevice() { return rt::SynchronizeDevice(-1); }

aclError aclrtSynchronizeDeviceWithTimeout(int32_t timeout) {
  if (!IsTimeout(timeout)) return InvalidTimeout(__func__, timeout);
  return rt::SynchronizeDevice(timeout);
}

aclError aclrtGetLogicDevIdByUserDevId(const int32_t userDevid, int32_t* const logicDevId) {
  REQUIRE_NOT_NULL(logicDevId);
  return rt::LogicOfUser(userDevid, logicDevId);
}

aclError aclrtGetUserDevIdByLogicDevId(const int32_t logicDevId, int32_t* const userDevid) {
  REQUIRE_NOT_NULL(userDevid);
  return rt::UserOfLogic(logicDevId, userDevid);
}

aclError aclrtGetLogicDevIdByPhyDevId(const int32_t phyDevId, int32_t* const logicDevId) {
  REQUIRE_NOT_NULL(logicDevId);
  return rt::LogicOfPhysical(phyDevId, logicDevId);
}

aclError aclrtGetPhyDevIdByLogicDevId(const int32_t logicDevId, int32_t* const phyDevId) {
  REQUIRE_NOT_NULL(phyDevId);
  return rt::PhysicalOfLogic(logicDevId, phyDevId);
}

aclError aclrtGetPhyDevIdByUserDevId(const int32_t userDevId, int32_t* const phyDevId) {
  REQUIRE_NOT_NULL(phyDevId);
  return rt::PhysicalOfUser(userDevId, phyDevId);
}

aclError aclrtGetUserDevIdByPhyDevId(const int32_t phyDevId, int32_t* const userDevId) {
  REQUIRE_NOT_NULL(userDevId);
  return rt::UserOfPhysical(phyDevId, userDevId);
}
