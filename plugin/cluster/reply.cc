#include "plugin/cluster/reply.h"

#include <algorithm>
#include <charconv>

namespace npu_ipc::cluster {
namespace {

constexpr size_t kMaxMessageBytes = 1024;
// What a server may ask for at most, by mistake or not.
constexpr std::chrono::seconds kMaxRetryAfter = std::chrono::minutes(10);

StatusCode CodeOf(int http_status, const std::string& reason) {
  switch (http_status) {
    case 400:
    case 413:
    case 422:
      return StatusCode::kInvalidArgument;
    case 401:
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kNotFound;
    case 409:
      return reason == "AlreadyExists" ? StatusCode::kAlreadyExists
                                       : StatusCode::kFailedPrecondition;
    case 410:
      return StatusCode::kFailedPrecondition;
    case 405:
    case 406:
    case 415:
    case 501:
      return StatusCode::kUnimplemented;
    case 408:
    case 504:
      return StatusCode::kDeadlineExceeded;
    case 429:
      return StatusCode::kResourceExhausted;
    default:
      return StatusCode::kUnavailable;
  }
}

// Whether a right is missing; else an admission plugin or policy refused, and its message has the
// reason. The authorizers' messages are made in one place (kubernetes: apiserver,
// pkg/endpoints/handlers/responsewriters/errors.go).
bool OfAuthorization(const std::string& message) {
  return message.empty() || message.find(" cannot ") != std::string::npos;
}

std::string WayOut(int http_status, const std::string& message, const std::string& operation) {
  switch (http_status) {
    case 401:
      return "; the token or client certificate is not accepted (expired, or of another cluster)";
    case 403:
      return OfAuthorization(message) ? "; the account's role must allow it to " + operation : "";
    default:
      return "";
  }
}

std::optional<Duration> RetryAfter(int64_t seconds) {
  if (seconds <= 0) return std::nullopt;
  return std::chrono::seconds(std::min<int64_t>(seconds, kMaxRetryAfter.count()));
}

}  // namespace

const Json* Find(const Json& object, std::initializer_list<const char*> path) {
  const Json* at = &object;
  for (const char* key : path) {
    if (!at->is_object()) return nullptr;
    const auto found = at->find(key);
    if (found == at->end() || found->is_null()) return nullptr;
    at = &*found;
  }
  return at;
}

std::string FindText(const Json& object, std::initializer_list<const char*> path) {
  const Json* text = Find(object, path);
  return text != nullptr && text->is_string() ? text->get<std::string>() : std::string();
}

std::string ToText(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Reply FailureReply(const std::string& operation, int http_status, const Json& status_object) {
  Reply reply;
  reply.http_status = http_status;
  reply.reason = FindText(status_object, {"reason"});
  std::string message = FindText(status_object, {"message"}).substr(0, kMaxMessageBytes);
  const Json* seconds = Find(status_object, {"details", "retryAfterSeconds"});
  if (seconds != nullptr && seconds->is_number_integer()) {
    reply.retry_after = RetryAfter(seconds->get<int64_t>());
  }
  std::string text = operation + ": HTTP " + std::to_string(http_status);
  if (!reply.reason.empty()) text += " " + reply.reason;
  if (!message.empty()) text += ": " + message;
  text += WayOut(http_status, message, operation);
  reply.status = Status(CodeOf(http_status, reply.reason), std::move(text));
  return reply;
}

Reply MakeReply(const std::string& operation, int http_status, std::string_view body,
                const std::string& retry_after_header) {
  return MakeParsedReply(operation, http_status,
                         Json::parse(body, nullptr, /*allow_exceptions=*/false),
                         retry_after_header);
}

Reply MakeParsedReply(const std::string& operation, int http_status, Json body,
                      const std::string& retry_after_header) {
  if (http_status / 100 == 2) {
    Reply reply;
    reply.http_status = http_status;
    if (!body.is_object()) {
      reply.status =
          Status(StatusCode::kUnavailable, operation + ": the answer is not a JSON object");
      return reply;
    }
    reply.body = std::move(body);
    return reply;
  }
  // Something between us and the API server may have answered, in HTML.
  Reply reply = FailureReply(operation, http_status, body.is_object() ? body : Json::object());
  int64_t seconds = 0;
  std::from_chars(retry_after_header.data(), retry_after_header.data() + retry_after_header.size(),
                  seconds);
  if (const auto asked = RetryAfter(seconds)) reply.retry_after = asked;
  return reply;
}

Reply NoReply(const std::string& operation, const Status& status) {
  Reply reply;
  reply.status = status.WithContext(operation);
  return reply;
}

}  // namespace npu_ipc::cluster
