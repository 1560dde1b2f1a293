#include "plugin/admin/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "plugin/admin/client.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::admin {
namespace {

using testing::HasSubstr;

class AdminServerTest : public testing::Test {
 protected:
  void Serve(Server::Handler handler) {
    Result<std::unique_ptr<Server>> server = Server::Start(socket_, std::move(handler));
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
  }

  const TemporaryDirectory directory_;
  const std::string socket_ = directory_.Path("made/admin.sock");
  std::unique_ptr<Server> server_;
};

TEST_F(AdminServerTest, AnswersOneRequestAfterAnother) {
  Serve([](const std::string& request) { return "you said " + request; });
  for (const char* const request : {"one", "two"}) {
    const Result<std::string> answer = Ask(socket_, request);
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    EXPECT_EQ(*answer, std::string("you said ") + request);
  }
}

TEST_F(AdminServerTest, SendsAnAnswerOfManyPackets) {
  const std::string large(3 * kPacketBytes + 17, 'x');
  Serve([&](const std::string&) { return large; });
  const Result<std::string> answer = Ask(socket_, "?");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_TRUE(*answer == large);
}

TEST_F(AdminServerTest, SendsTheNewlineInAPacketOfItsOwnWhereItMust) {
  const std::string exact(kPacketBytes, 'y');
  Serve([&](const std::string&) { return exact; });
  const Result<std::string> answer = Ask(socket_, "?");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_TRUE(*answer == exact);
}

TEST_F(AdminServerTest, DropsARequestThatIsTooLong) {
  std::atomic<int> asked = 0;
  Serve([&](const std::string&) { return std::to_string(++asked); });
  const Result<std::string> answer = Ask(socket_, std::string(kMaxRequestBytes + 1, 'x'));
  EXPECT_EQ(answer.status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(asked, 0);
  EXPECT_TRUE(Ask(socket_, "?").ok());
}

TEST_F(AdminServerTest, GoesOnAfterAPeerThatLeaves) {
  const std::string large(size_t{4} << 20, 'x');
  Serve([&](const std::string&) { return large; });
  {
    const Result<UniqueFd> leaves = ConnectUnix(socket_);
    ASSERT_TRUE(leaves.ok());
    ASSERT_TRUE(SendMessage(leaves->get(), "?", 1).ok());
  }
  EXPECT_TRUE(Ask(socket_, "?").ok());
}

TEST_F(AdminServerTest, EndsWhileAPeerDoesNotRead) {
  const std::string large(size_t{4} << 20, 'x');
  std::atomic<bool> answering = false;
  Serve([&](const std::string&) {
    answering = true;
    return large;
  });
  const Result<UniqueFd> idle = ConnectUnix(socket_);
  ASSERT_TRUE(idle.ok());
  ASSERT_TRUE(SendMessage(idle->get(), "?", 1).ok());
  while (!answering) ::sched_yield();
  server_.reset();
  EXPECT_EQ(Ask(socket_, "?").status().code(), StatusCode::kNotFound);
}

TEST_F(AdminServerTest, NobodyThereIsSaid) {
  EXPECT_EQ(Ask(socket_, "?").status().code(), StatusCode::kNotFound);
}

TEST_F(AdminServerTest, LeavesADirectoryOfAnotherUserAlone) {
  ASSERT_EQ(::mkdir(directory_.Path("made").c_str(), 0755), 0);
  ASSERT_EQ(::chown(directory_.Path("made").c_str(), 12345, 12345), 0);
  const auto server = Server::Start(socket_, [](const std::string&) { return ""; });
  EXPECT_EQ(server.status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(server.status().message(), HasSubstr(directory_.Path("made")));
}

TEST_F(AdminServerTest, ASecondOneIsRefused) {
  Serve([](const std::string&) { return ""; });
  const auto second = Server::Start(socket_, [](const std::string&) { return ""; });
  EXPECT_EQ(second.status().code(), StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace npu_ipc::admin
