#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidArgument;

aclError aclrtDeviceCanAccessPeer(int32_t* canAccessPeer, int32_t deviceId, int32_t peerDeviceId) {
  REQUIRE_NOT_NULL(canAccessPeer);
  if (deviceId == peerDeviceId) return InvalidArgument(__func__, "a device is no peer of itself");
  return rt::CanAccessPeer(deviceId, peerDeviceId, canAccessPeer);
}

aclError aclrtDeviceEnablePeerAccess(int32_t peerDeviceId, uint32_t flags) {
  if (flags != 0) {
    return rt::Fail(ACL_ERROR_FEATURE_UNSUPPORTED,
                    "aclrtDeviceEnablePeerAccess: flags are reserved and 0");
  }
  return rt::EnablePeer(peerDeviceId);
}

aclError aclrtDeviceDisablePeerAccess(int32_t peerDeviceId) {
  return rt::DisablePeer(peerDeviceId);
}

aclError aclrtDevicePeerAccessStatus(int32_t deviceId, int32_t peerDeviceId, int32_t* status) {
  REQUIRE_NOT_NULL(status);
  return rt::PeerStatus(deviceId, peerDeviceId, status);
}
