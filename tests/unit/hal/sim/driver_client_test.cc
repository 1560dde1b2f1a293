#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
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

namespace npu_ipc::sim {
namespace {

// A driver that answers from one thread: each request with its own handle as value32.
class EchoDriver {
 public:
  explicit EchoDriver(const std::string& path) {
    Result<std::unique_ptr<UnixListener>> listener = UnixListener::Listen(path, 0600);
    EXPECT_TRUE(listener.ok()) << listener.status().message();
    listener_ = std::move(*listener);
    EXPECT_EQ(::pipe(stop_), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~EchoDriver() {
    EXPECT_EQ(::write(stop_[1], "", 1), 1);
    thread_.join();
    ::close(stop_[0]);
    ::close(stop_[1]);
  }

  std::atomic<int> connections = 0;
  std::atomic<size_t> reply_bytes = sizeof(Reply);

 private:
  void Serve() {
    std::vector<UniqueFd> clients;
    for (;;) {
      std::vector<pollfd> polled = {{stop_[0], POLLIN, 0}, {listener_->fd(), POLLIN, 0}};
      for (const UniqueFd& client : clients) polled.push_back({client.get(), POLLIN, 0});
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      if (polled[0].revents != 0) return;
      for (size_t i = 2; i < polled.size(); ++i) {
        if (polled[i].revents != 0) Answer(clients[i - 2]);
      }
      std::erase_if(clients, [](const UniqueFd& client) { return !client; });
      if (polled[1].revents != 0) {
        Result<UniqueFd> accepted = listener_->Accept();
        if (accepted.ok() && *accepted) {
          ++connections;
          clients.push_back(std::move(*accepted));
        }
      }
    }
  }

  void Answer(UniqueFd& client) {
    Request request;
    Result<ReceivedMessage> received = ReceiveMessage(client.get(), &request, sizeof(request));
    if (!received.ok() || received->end_of_stream) return client.Reset();
    if (received->would_block) return;
    EXPECT_EQ(request.version, kProtocolVersion);
    if (request.operation == Operation::kFree) return client.Reset();  // "crashes" on it
    Reply reply = {};
    reply.value32 = static_cast<uint32_t>(request.handle);
    const int passed = request.operation == Operation::kAllocate ? stop_[0] : -1;
    EXPECT_TRUE(SendMessage(client.get(), &reply, reply_bytes, passed).ok());
  }

  std::unique_ptr<UnixListener> listener_;
  int stop_[2];
  std::thread thread_;
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
