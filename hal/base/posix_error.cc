#include "hal/base/posix_error.h"

#include <errno.h>

#include <string>
#include <system_error>

namespace npu_ipc {

Status PosixError(int error, std::string_view what) {
  StatusCode code = StatusCode::kInternal;
  switch (error) {
    case EINVAL:
    case ENAMETOOLONG:
      code = StatusCode::kInvalidArgument;
      break;
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ESRCH:
      code = StatusCode::kNotFound;
      break;
    case EEXIST:
    case EADDRINUSE:
      code = StatusCode::kAlreadyExists;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = StatusCode::kPermissionDenied;
      break;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EBUSY:
      code = StatusCode::kUnavailable;
      break;
    case ETIMEDOUT:
      code = StatusCode::kDeadlineExceeded;
      break;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
      code = StatusCode::kResourceExhausted;
      break;
    case ENOSYS:
    case EOPNOTSUPP:
      code = StatusCode::kUnimplemented;
      break;
    default:
      break;
  }
  return {code, std::string(what) + ": " + std::generic_category().message(error)};
}

}  // namespace npu_ipc
