// How the simulated runtime reports failure: a code of the vendor's and a message, and per thread
// what failed last.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "acl/error_codes/rt_error_codes.h"
#include "hal/base/result.h"
#include "runtime/base.h"

namespace npu_ipc::sim {

// A vendor code and why. The message names the thing, the cause and, where there is one, the way
// out; it never holds an export key. A plain value.
class [[nodiscard]] RtStatus {
 public:
  RtStatus() = default;
  RtStatus(rtError_t code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == ACL_RT_SUCCESS; }
  rtError_t code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  rtError_t code_ = ACL_RT_SUCCESS;
  std::string message_;
};

// A T, or the RtStatus that says why there is none.
template <class T>
class [[nodiscard]] RtResult {
 public:
  RtResult(T value) : value_(std::move(value)) {}            // NOLINT: `return value;`
  RtResult(RtStatus status) : status_(std::move(status)) {}  // NOLINT: `return status;`

  bool ok() const { return value_.has_value(); }
  const RtStatus& status() const { return status_; }
  // REQUIRES: ok().
  T& operator*() { return *value_; }
  T* operator->() { return &*value_; }

 private:
  std::optional<T> value_;
  RtStatus status_;
};

// The driver refused `what` with this errno: the code that the vendor's HAL and runtime make of it
// (driver: drv_log_user_kernel_api.c; runtime: errcode_manage.cc). `error_number` is not 0.
RtStatus DriverRefusal(int error_number, std::string_view what);

// The driver did not answer at all.
RtStatus DriverUnreachable(const Status& status, std::string_view what);

// The answer of a function that the simulator does not build: 207000.
RtStatus NotBuilt(std::string_view function);

// What this thread's last failed call was. Record() is for the outermost layer only, once a call.
rtError_t Record(const RtStatus& status);
rtError_t PeekLastError();
rtError_t TakeLastError();
// nullptr when nothing failed since the last call; valid until this thread's next call of it.
const char* TakeRecentMessage();

}  // namespace npu_ipc::sim
