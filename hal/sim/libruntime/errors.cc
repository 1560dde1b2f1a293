#include "hal/sim/libruntime/errors.h"

#include <errno.h>
#include <string.h>

namespace npu_ipc::sim {
namespace {

struct Translation {
  int error_number;
  unsigned driver_code;  // drvError_t: what the vendor's logs and tickets speak of
  rtError_t code;
};

// Everything else is an internal error of the driver, as in the vendor's tables.
constexpr Translation kTranslations[] = {
    {EINVAL, 8, ACL_ERROR_RT_DRV_INTERNAL_ERROR},
    {EACCES, 17, ACL_ERROR_RT_DRV_INTERNAL_ERROR},
    {EPERM, 46, ACL_ERROR_RT_NO_PERMISSION},
    {EFAULT, 4, ACL_ERROR_RT_INVALID_HANDLE},
    {ENOMEM, 6, ACL_ERROR_RT_MEMORY_ALLOCATION},
    {ENODEV, 1, ACL_ERROR_RT_NO_DEVICE},
    {ENXIO, 1, ACL_ERROR_RT_NO_DEVICE},
    {EOPNOTSUPP, 0xfffe, ACL_ERROR_RT_FEATURE_NOT_SUPPORT},
    {EBUSY, 13, ACL_ERROR_RT_DRV_INTERNAL_ERROR},
    {ESRCH, 42, ACL_ERROR_RT_DRV_INTERNAL_ERROR},
    {ENOSPC, 14, ACL_ERROR_RT_RESOURCE_ALLOC_FAIL},
    {E2BIG, 37, ACL_ERROR_RT_OVER_LIMIT},
    {ETIMEDOUT, 16, ACL_ERROR_RT_REPORT_TIMEOUT},
};
constexpr Translation kOtherwise = {0, 8, ACL_ERROR_RT_DRV_INTERNAL_ERROR};

Translation Translate(int error_number) {
  for (const Translation& translation : kTranslations) {
    if (translation.error_number == error_number) return translation;
  }
  return kOtherwise;
}

struct LastFailure {
  rtError_t code = ACL_RT_SUCCESS;
  std::string message;
  bool unread = false;
  std::string handed_out;
};

LastFailure& ThisThread() {
  thread_local LastFailure failure;
  return failure;
}

}  // namespace

RtStatus DriverRefusal(int error_number, std::string_view what) {
  const Translation translation = Translate(error_number);
  return RtStatus(translation.code,
                  std::string(what) + ": the driver refused it (errno " +
                      std::to_string(error_number) + " " + ::strerror(error_number) +
                      ", drvRetCode=" + std::to_string(translation.driver_code) + ")");
}

RtStatus DriverUnreachable(const Status& status, std::string_view what) {
  return RtStatus(ACL_ERROR_RT_DRV_INTERNAL_ERROR,
                  std::string(what) + ": the driver does not answer: " + status.message());
}

RtStatus NotBuilt(std::string_view function) {
  return RtStatus(ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                  std::string(function) + " is not supported by the simulator");
}

rtError_t Record(const RtStatus& status) {
  if (status.ok()) return ACL_RT_SUCCESS;
  LastFailure& failure = ThisThread();
  failure.code = status.code();
  failure.message = std::to_string(status.code()) + ": " + status.message();
  failure.unread = true;
  return status.code();
}

rtError_t PeekLastError() { return ThisThread().code; }

rtError_t TakeLastError() { return std::exchange(ThisThread().code, ACL_RT_SUCCESS); }

const char* TakeRecentMessage() {
  LastFailure& failure = ThisThread();
  if (!failure.unread) return nullptr;
  failure.unread = false;
  failure.handed_out.swap(failure.message);
  return failure.handed_out.c_str();
}

}  // namespace npu_ipc::sim
