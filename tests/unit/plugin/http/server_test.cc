#include "plugin/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "plugin/http/readiness.h"

namespace npu_ipc::http {
namespace {

using testing::HasSubstr;

std::map<std::string, Handler> Greeting() {
  return {{"/hello",
           [] {
             return Response{200, "text/x-greeting", "hello\n"};
           }},
          {"/broken", [] {
             return Response{503, "text/plain", "no\n"};
           }}};
}

TEST(HttpServer, AnswersItsPathsAndNothingElse) {
  auto server = Server::Start("127.0.0.1:0", Greeting());
  ASSERT_TRUE(server.ok()) << server.status().message();
  EXPECT_EQ((*server)->address(), "127.0.0.1:" + std::to_string((*server)->port()));
  httplib::Client client("127.0.0.1", (*server)->port());
  const auto hello = client.Get("/hello");
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->status, 200);
  EXPECT_EQ(hello->body, "hello\n");
  EXPECT_EQ(hello->get_header_value("Content-Type"), "text/x-greeting");
  EXPECT_EQ(client.Get("/broken")->status, 503);
  EXPECT_EQ(client.Get("/hello/more")->status, 404);
  EXPECT_EQ(client.Get("/")->status, 404);
  EXPECT_EQ(client.Post("/hello", "x", "text/plain")->status / 100, 4);
}

TEST(HttpServer, AnEmptyHostIsEveryAddress) {
  auto server = Server::Start(":0", Greeting());
  ASSERT_TRUE(server.ok()) << server.status().message();
  EXPECT_TRUE(httplib::Client("127.0.0.1", (*server)->port()).Get("/hello"));
}

TEST(HttpServer, NamesAnAddressThatIsTaken) {
  auto first = Server::Start("127.0.0.1:0", Greeting());
  ASSERT_TRUE(first.ok());
  const auto second = Server::Start((*first)->address(), Greeting());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr((*first)->address()));
}

TEST(HttpServer, RefusesWhatIsNoAddress) {
  for (const char* address : {"", "9500", ":x", ":70000", "host:", "::1:9500", ":80 "}) {
    const auto server = Server::Start(address, Greeting());
    ASSERT_FALSE(server.ok()) << address;
    EXPECT_EQ(server.status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(Readiness, SaysWhatIsMissing) {
  Readiness readiness;
  EXPECT_EQ(readiness.Report().status, 200);
  readiness.Set("pods", "not read yet");
  readiness.Set("identity", "no hostPID");
  EXPECT_EQ(readiness.Report().status, 503);
  EXPECT_EQ(readiness.Report().body, "identity: no hostPID\npods: not read yet\n");
  readiness.Set("pods", "");
  readiness.Set("identity", "");
  EXPECT_EQ(readiness.Report().status, 200);
}

}  // namespace
}  // namespace npu_ipc::http
