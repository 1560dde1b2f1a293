#include "runtime/src/vendor.h"

namespace npu_ipc::runtime {
namespace {

using hal::acl::Error;
using hal::acl::IpcTable;

Error FindPhysicalDevice(const IpcTable& vendor, int32_t user_device, uint32_t* physical_device,
                         const char** call) {
  if (vendor.get_physical_device_by_index != nullptr) {
    *call = "rtGetDevicePhyIdByIndex";
    return vendor.get_physical_device_by_index(static_cast<uint32_t>(user_device), physical_device);
  }
  *call = "aclrtGetPhyDevIdByUserDevId";
  int32_t physical = 0;
  const Error code = vendor.get_physical_device_by_user_device(user_device, &physical);
  *physical_device = static_cast<uint32_t>(physical);
  return code;
}

}  // namespace

Error FindThreadDevice(const IpcTable& vendor, ThreadDevice* device, Text* error) {
  const char* call = "aclrtGetCurrentContext";
  Error code = vendor.get_current_context(&device->context);
  if (code == hal::acl::kSuccess && device->context == nullptr) code = hal::acl::kContextNull;
  int32_t user_device = 0;
  if (code == hal::acl::kSuccess) {
    call = "aclrtGetDevice";
    code = vendor.get_device(&user_device);
  }
  if (code == hal::acl::kSuccess) {
    device->user_device = static_cast<uint32_t>(user_device);
    code = FindPhysicalDevice(vendor, user_device, &device->physical_device, &call);
  }
  if (code != hal::acl::kSuccess) *error = DescribeVendorError(call, code);
  return code;
}

Text DescribeVendorError(const char* call, Error code) {
  Text text(call);
  text.Append(" failed with ").Append(int64_t{code});
  if (code == hal::acl::kContextNull) {
    text.Append(": the calling thread has no context; call aclrtSetDevice on it first");
  }
  return text;
}

wire::Status PeerFailure(Error code) {
  // driver: devdrv_ctrl.c answers ENOMEM when 32 processes have the pair, which becomes this code.
  if (code == hal::acl::kMemoryAllocation) return wire::Status::kPeerLimit;
  return code != hal::acl::kSuccess ? wire::Status::kUnreachable : wire::Status::kInternal;
}

}  // namespace npu_ipc::runtime
