// What the API server answered, or why it did not.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "hal/base/clock.h"
#include "hal/base/result.h"
#include "plugin/cluster/json.h"

namespace npu_ipc::cluster {

// `status` says what was asked, what came of it and, for a refusal, the way out:
//
//   HTTP        code                  Status.reason, as far as we meet it
//   400 413 422 kInvalidArgument      BadRequest, Invalid
//   401 403     kPermissionDenied     Unauthorized, Forbidden
//   404         kNotFound             NotFound
//   409         kAlreadyExists        AlreadyExists
//   409         kFailedPrecondition   Conflict
//   410         kFailedPrecondition   Gone, Expired
//   405 406 415 501 kUnimplemented
//   408 504     kDeadlineExceeded     Timeout
//   429         kResourceExhausted    TooManyRequests
//   else, none  kUnavailable
//
// (reasons: apimachinery pkg/apis/meta/v1/types.go)
struct Reply {
  Status status;
  int http_status = 0;                  // 0: no answer came
  std::string reason;                   // of the Status object; may be empty
  std::optional<Duration> retry_after;  // how long the server asks to be left alone
  Json body;                            // of a success

  bool ok() const { return status.ok(); }
  // The resource version asked for is no longer there: list again.
  bool gone() const { return http_status == 410 || reason == "Expired" || reason == "Gone"; }
};

// The reply to `operation` ("list pods") that came with `http_status`. Never throws.
Reply MakeReply(const std::string& operation, int http_status, std::string_view body,
                const std::string& retry_after_header);
// The same, of a body that has been read; discarded where it is no JSON.
Reply MakeParsedReply(const std::string& operation, int http_status, Json body,
                      const std::string& retry_after_header);

// The failure that a Status object describes: an HTTP answer's body, or a watch's ERROR event.
Reply FailureReply(const std::string& operation, int http_status, const Json& status_object);

// No answer came.
Reply NoReply(const std::string& operation, const Status& status);

// The text of `object`; bytes that are no UTF-8 are replaced.
std::string ToText(const Json& object);

// The member at the end of `path`, where each part names a member of an object; nullptr when one is
// missing or null.
const Json* Find(const Json& object, std::initializer_list<const char*> path);
// The same, as text; empty when it is missing or not a string.
std::string FindText(const Json& object, std::initializer_list<const char*> path);

}  // namespace npu_ipc::cluster
