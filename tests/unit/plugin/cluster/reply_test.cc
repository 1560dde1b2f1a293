#include "plugin/cluster/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npu_ipc::cluster {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

TEST(Reply, KeepsTheObjectOfASuccess) {
  const Reply reply = MakeReply("get pods/p", 200, R"({"kind":"Pod"})", "");
  EXPECT_TRUE(reply.ok());
  EXPECT_EQ(reply.http_status, 200);
  EXPECT_EQ(FindText(reply.body, {"kind"}), "Pod");
}

TEST(Reply, HasACodeForEveryAnswer) {
  const struct {
    int http_status;
    const char* reason;
    StatusCode code;
  } kAnswers[] = {{400, "BadRequest", StatusCode::kInvalidArgument},
                  {401, "Unauthorized", StatusCode::kPermissionDenied},
                  {403, "Forbidden", StatusCode::kPermissionDenied},
                  {404, "NotFound", StatusCode::kNotFound},
                  {405, "MethodNotAllowed", StatusCode::kUnimplemented},
                  {409, "AlreadyExists", StatusCode::kAlreadyExists},
                  {409, "Conflict", StatusCode::kFailedPrecondition},
                  {410, "Expired", StatusCode::kFailedPrecondition},
                  {415, "UnsupportedMediaType", StatusCode::kUnimplemented},
                  {422, "Invalid", StatusCode::kInvalidArgument},
                  {429, "TooManyRequests", StatusCode::kResourceExhausted},
                  {500, "InternalError", StatusCode::kUnavailable},
                  {503, "ServiceUnavailable", StatusCode::kUnavailable},
                  {504, "Timeout", StatusCode::kDeadlineExceeded},
                  {302, "", StatusCode::kUnavailable}};
  for (const auto& answer : kAnswers) {
    const std::string body =
        ToText({{"kind", "Status"}, {"reason", answer.reason}, {"message", "why"}});
    const Reply reply = MakeReply("do it", answer.http_status, body, "");
    EXPECT_EQ(reply.status.code(), answer.code) << answer.http_status;
    EXPECT_EQ(reply.reason, answer.reason);
    EXPECT_THAT(reply.status.message(), HasSubstr("do it: HTTP"));
    EXPECT_THAT(reply.status.message(), HasSubstr("why"));
    EXPECT_EQ(reply.gone(), answer.http_status == 410);
  }
}

TEST(Reply, NamesTheRightThatIsMissing) {
  constexpr char kOfTheAuthorizer[] =
      R"({"reason":"Forbidden","message":"nodes \"node-1\" is forbidden: )"
      R"(User \"x\" cannot patch resource \"nodes\""})";
  for (const char* body : {R"({"reason":"Forbidden"})", kOfTheAuthorizer}) {
    const Reply reply = MakeReply("patch nodes/node-1", 403, body, "");
    EXPECT_THAT(reply.status.message(), HasSubstr("role must allow it to patch nodes/node-1"));
  }
}

TEST(Reply, LeavesThePolicysReasonAlone) {
  const Reply reply = MakeReply(
      "patch nodes/node-1", 403,
      R"({"reason":"Forbidden","message":"ValidatingAdmissionPolicy 'p' denied request: no"})", "");
  EXPECT_THAT(reply.status.message(), EndsWith("denied request: no"));
}

TEST(Reply, TakesTheLongerLookAtRetryAfter) {
  const std::string body = R"({"details":{"retryAfterSeconds":3}})";
  EXPECT_EQ(MakeReply("x", 429, body, "").retry_after, std::chrono::seconds(3));
  EXPECT_EQ(MakeReply("x", 429, body, "7").retry_after, std::chrono::seconds(7));
  EXPECT_EQ(MakeReply("x", 429, "{}", "999999999").retry_after, std::chrono::minutes(10));
  for (const char* none : {"", "0", "-1", "soon", "Fri, 31 Dec 1999 23:59:59 GMT"}) {
    EXPECT_EQ(MakeReply("x", 429, "{}", none).retry_after, std::nullopt) << none;
  }
}

TEST(Reply, SurvivesAnyBody) {
  for (const char* body : {"", "<html>", "[]", "7", "{", R"({"reason":5,"message":[],"details":1})",
                           R"({"details":{"retryAfterSeconds":"x"}})"}) {
    const Reply failure = MakeReply("x", 502, body, "");
    EXPECT_EQ(failure.status.code(), StatusCode::kUnavailable) << body;
    EXPECT_THAT(failure.status.message(), Not(HasSubstr("<html>")));
  }
  for (const char* body : {"", "<html>", "[]", "7", "{"}) {
    EXPECT_EQ(MakeReply("x", 200, body, "").status.code(), StatusCode::kUnavailable) << body;
  }
}

TEST(Reply, BoundsTheMessage) {
  const std::string body = ToText({{"message", std::string(100'000, 'm')}});
  EXPECT_LT(MakeReply("x", 500, body, "").status.message().size(), 2000u);
}

TEST(Reply, KnowsAnExpiredVersionInEitherForm) {
  EXPECT_TRUE(FailureReply("watch pods", 410, Json{{"reason", "Gone"}}).gone());
  EXPECT_TRUE(FailureReply("watch pods", 400, Json{{"reason", "Expired"}}).gone());
  EXPECT_FALSE(FailureReply("watch pods", 500, Json{{"reason", "InternalError"}}).gone());
}

}  // namespace
}  // namespace npu_ipc::cluster
