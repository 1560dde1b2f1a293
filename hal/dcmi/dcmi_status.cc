#include "hal/dcmi/dcmi_status.h"

#include <string>

#include "hal/dcmi/dcmi_interface_api.h"

namespace npu_ipc::hal {
namespace {

struct Meaning {
  StatusCode code;
  const char* text;
};

Meaning MeaningOf(int code) {
  switch (code) {
    case DCMI_ERR_CODE_INVALID_PARAMETER:
      return {StatusCode::kInvalidArgument, "invalid parameter"};
    case DCMI_ERR_CODE_OPER_NOT_PERMITTED:
      return {StatusCode::kPermissionDenied, "operation not permitted"};
    case DCMI_ERR_CODE_MEM_OPERATE_FAIL:
      return {StatusCode::kInternal, "memory operation failed"};
    case DCMI_ERR_CODE_SECURE_FUN_FAIL:
      return {StatusCode::kInternal, "secure function failed"};
    case DCMI_ERR_CODE_INNER_ERR:
      return {StatusCode::kInternal,
              "inner error; the driver also says this of a device that another container has"};
    case DCMI_ERR_CODE_TIME_OUT:
      return {StatusCode::kUnavailable, "timeout"};
    case DCMI_ERR_CODE_INVALID_DEVICE_ID:
      return {StatusCode::kNotFound, "invalid device id"};
    case DCMI_ERR_CODE_DEVICE_NOT_EXIST:
      return {StatusCode::kNotFound, "no such device"};
    case DCMI_ERR_CODE_IOCTL_FAIL:
      return {StatusCode::kInternal, "ioctl failed"};
    case DCMI_ERR_CODE_SEND_MSG_FAIL:
      return {StatusCode::kInternal, "sending a message failed"};
    case DCMI_ERR_CODE_RECV_MSG_FAIL:
      return {StatusCode::kInternal, "receiving a message failed"};
    case DCMI_ERR_CODE_NOT_REDAY:
      return {StatusCode::kUnavailable, "not ready"};
    case DCMI_ERR_CODE_NOT_SUPPORT_IN_CONTAINER:
      return {StatusCode::kPermissionDenied, "not allowed in a container"};
    case DCMI_ERR_CODE_FILE_OPERATE_FAIL:
      return {StatusCode::kInternal, "file operation failed"};
    case DCMI_ERR_CODE_RESET_FAIL:
      return {StatusCode::kUnavailable, "device reset"};
    case DCMI_ERR_CODE_ABORT_OPERATE:
      return {StatusCode::kInternal, "operation aborted"};
    case DCMI_ERR_CODE_IS_UPGRADING:
      return {StatusCode::kUnavailable, "firmware upgrade under way"};
    case DCMI_ERR_CODE_RESOURCE_OCCUPIED:
      return {StatusCode::kFailedPrecondition, "in use, or another container has the device"};
    case DCMI_ERR_CODE_PARTITION_NOT_RIGHT:
      return {StatusCode::kFailedPrecondition, "wrong partition"};
    case DCMI_ERR_CODE_CONFIG_INFO_NOT_EXIST:
      return {StatusCode::kNotFound, "no such configuration"};
    case DCMI_ERR_CODE_NOT_SUPPORT:
      return {StatusCode::kUnimplemented, "not supported"};
    default:
      return {StatusCode::kInternal, "a code that DCMI does not document"};
  }
}

}  // namespace

Status DcmiStatus(int code, std::string_view call, std::string_view object) {
  if (code == DCMI_OK) return Status::Ok();
  const Meaning meaning = MeaningOf(code);
  std::string message(call);
  if (!object.empty()) message.append(" of ").append(object);
  message += ": DCMI error " + std::to_string(code) + " (" + meaning.text + ")";
  return {meaning.code, std::move(message)};
}

Status DcmiMissing(std::string_view call) {
  return {StatusCode::kUnimplemented, "the installed driver's libdcmi lacks " + std::string(call)};
}

}  // namespace npu_ipc::hal
