#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "hal/base/unix_socket.h"
#include "hal/sim/driver/client.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/hal/sim/driver_socket.h"

namespace npu_ipc::sim {
namespace {

// A driver that answers from one thread: each request with its own handle as value32.
class EchoDriver {
 public:
  explicit EchoDriver(const std::string& path)
      : socket_(path, {[this] { ++connections; }, [this](UniqueFd& client) { Answer(client); }}) {}

  std::atomic<int> connections = 0;
  std::atomic<size_t> reply_bytes = sizeof(Reply);

 private:
  void Answer(UniqueFd& client) {
    Request request;
    Result<ReceivedMessage> received = ReceiveMessage(client.get(), &request, sizeof(request));
    if (!received.ok() || received->end_of_stream) return client.Reset();
    if (received->would_block) return;
    EXPECT_EQ(request.version, kProtocolVersion);
    if (request.operation == Operation::kFree) return client.Reset();  // "crashes" on it
    Reply reply = {};
    reply.value32 = static_cast<uint32_t>(request.handle);
    const int passed = request.operation == Operation::kAllocate ? passed_.get() : -1;
    EXPECT_TRUE(SendMessage(client.get(), &reply, reply_bytes, passed).ok());
  }

  const UniqueFd passed_{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  DriverSocket socket_;  // the last: its thread uses the others
};

Request MakeRequest(Operation operation, uint64_t handle) {
  Request request = {};
  request.operation = operation;
  request.handle = handle;
  return request;
}

class DriverClientTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  const std::string path_ = directory_.Path(kSocketFileName);
};

TEST_F(DriverClientTest, AnswersInOrderOverOneConnection) {
  EchoDriver driver(path_);
  DriverClient client(path_);
  for (uint64_t i = 1; i <= 100; ++i) {
    Result<DriverReply> answer = client.Call(MakeRequest(Operation::kHello, i));
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    EXPECT_EQ(answer->reply.value32, i);
    EXPECT_EQ(answer->connection, 1u);
  }
  EXPECT_EQ(driver.connections, 1);
}

TEST_F(DriverClientTest, PassesDescriptors) {
  EchoDriver driver(path_);
  DriverClient client(path_);
  Result<DriverReply> answer = client.Call(MakeRequest(Operation::kAllocate, 1));
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  ASSERT_EQ(answer->descriptors.size(), 1u);
  EXPECT_TRUE(answer->descriptors[0]);
}

TEST_F(DriverClientTest, SaysThatThereIsNoDriver) {
  DriverClient client(path_);
  Result<DriverReply> answer = client.Call(MakeRequest(Operation::kHello, 1));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(answer.status().message(), ::testing::HasSubstr(path_));
}

TEST_F(DriverClientTest, FindsADriverThatWasRestarted) {
  DriverClient client(path_);
  auto driver = std::make_unique<EchoDriver>(path_);
  ASSERT_TRUE(client.Call(MakeRequest(Operation::kHello, 1)).ok());
  driver.reset();
  EXPECT_FALSE(client.Call(MakeRequest(Operation::kHello, 2)).ok());
  driver = std::make_unique<EchoDriver>(path_);
  Result<DriverReply> answer = client.Call(MakeRequest(Operation::kHello, 3));
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(answer->reply.value32, 3u);
  EXPECT_EQ(answer->connection, 2u);
}

TEST_F(DriverClientTest, ReconnectsOnceWithinACallAndThenGivesUp) {
  EchoDriver driver(path_);
  DriverClient client(path_);
  ASSERT_TRUE(client.Call(MakeRequest(Operation::kHello, 1)).ok());
  Result<DriverReply> answer = client.Call(MakeRequest(Operation::kFree, 2));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(client.Call(MakeRequest(Operation::kHello, 3)).ok());
  EXPECT_EQ(driver.connections, 3);
}

TEST_F(DriverClientTest, RefusesAnotherBuildsDriver) {
  EchoDriver driver(path_);
  driver.reply_bytes = sizeof(Reply) - 8;
  DriverClient client(path_);
  Result<DriverReply> answer = client.Call(MakeRequest(Operation::kHello, 1));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.status().code(), StatusCode::kInternal);
}

TEST_F(DriverClientTest, AForkedChildConnectsAnew) {
  EchoDriver driver(path_);
  DriverClient client(path_);
  ASSERT_TRUE(client.Call(MakeRequest(Operation::kHello, 1)).ok());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Result<DriverReply> answer = client.Call(MakeRequest(Operation::kHello, 7));
    ::_exit(answer.ok() && answer->reply.value32 == 7 && answer->connection == 2 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  Result<DriverReply> answer = client.Call(MakeRequest(Operation::kHello, 8));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->connection, 1u) << "the child closed its parent's connection";
  EXPECT_EQ(driver.connections, 2);
}

TEST_F(DriverClientTest, ThreadsShareAConnection) {
  EchoDriver driver(path_);
  DriverClient client(path_);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 200; ++i) {
        Result<DriverReply> answer = client.Call(MakeRequest(Operation::kHello, t * 1000 + i));
        if (!answer.ok() || answer->reply.value32 != t * 1000 + i) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(driver.connections, 1);
}

TEST(DriverSocketPathTest, IsBesideTheFileThatHoldsTheCode) {
  Result<std::string> path = DriverSocketPath();
  ASSERT_TRUE(path.ok()) << path.status().message();
  const auto program = std::filesystem::read_symlink("/proc/self/exe");
  EXPECT_TRUE(std::filesystem::equivalent(std::filesystem::path(*path).parent_path(),
                                          program.parent_path()));
  EXPECT_EQ(std::filesystem::path(*path).filename(), kSocketFileName);
}

}  // namespace
}  // namespace npu_ipc::sim
