// Status and Result<T>: how every fallible function of this project reports failure.
//
// Both are plain values and safe to move between threads. A message names the thing, the cause and,
// where there is one, the way out; it never holds an export key.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace npu_ipc {

enum class StatusCode {
  kOk = 0,
  kInvalidArgument,     // the caller's value can never work
  kNotFound,            // the named thing does not exist (now)
  kAlreadyExists,       // a name or a path is taken
  kPermissionDenied,    // the kernel, the driver or our policy refused
  kUnavailable,         // a peer, a file or a daemon is away; trying again may help
  kDeadlineExceeded,    // the wait that the caller allowed has ended
  kResourceExhausted,   // a limit is reached
  kFailedPrecondition,  // the state does not allow it; trying again alone will not help
  kUnimplemented,       // not supported here, or not yet
  kInternal,            // none of the above; the message says what is known
};

// "INVALID_ARGUMENT" and so on, for logs and JSON.
std::string_view StatusCodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status Ok() { return {}; }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same failure with `context + ": "` in front of its message. Returns *this when ok.
  Status WithContext(std::string_view context) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

// A T, or the Status that says why there is none. Never holds an ok Status.
template <class T>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return Status(...)` are the two ways out.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}         // NOLINT
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status::Ok() : std::get<1>(state_); }
  // REQUIRES: ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace npu_ipc
