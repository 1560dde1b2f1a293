#include "hal/base/unix_socket.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc {
namespace {

TEST(UnixListener, SendsMessagesAndDescriptors) {
  const TemporaryDirectory directory;
  auto listener = UnixListener::Listen(directory.Path("s"), 0666);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  Result<UniqueFd> client = ConnectUnix(directory.Path("s"));
  ASSERT_TRUE(client.ok()) << client.status().message();
  Result<UniqueFd> server = (*listener)->Accept();
  ASSERT_TRUE(server.ok() && *server);

  const UniqueFd passed(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(SendMessage(client->get(), "hello", 5, passed.get()).ok());
  char buffer[16] = {};
  const auto received = ReceiveMessage(server->get(), buffer, sizeof(buffer));
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(received->bytes, 5U);
  EXPECT_EQ(std::string(buffer), "hello");
  ASSERT_EQ(received->descriptors.size(), 1U);
  struct stat ours = {}, theirs = {};
  ASSERT_EQ(::fstat(passed.get(), &ours), 0);
  ASSERT_EQ(::fstat(received->descriptors[0].get(), &theirs), 0);
  EXPECT_EQ(ours.st_rdev, theirs.st_rdev);
}

TEST(UnixListener, AMessageLargerThanTheBufferIsSaidToBeTruncated) {
  const TemporaryDirectory directory;
  auto listener = UnixListener::Listen(directory.Path("s"), 0666);
  ASSERT_TRUE(listener.ok());
  Result<UniqueFd> client = ConnectUnix(directory.Path("s"));
  ASSERT_TRUE(client.ok());
  Result<UniqueFd> server = (*listener)->Accept();
  ASSERT_TRUE(SendMessage(client->get(), "0123456789", 10).ok());
  char buffer[4];
  const auto received = ReceiveMessage(server->get(), buffer, sizeof(buffer));
  ASSERT_TRUE(received.ok());
  EXPECT_TRUE(received->truncated);
  EXPECT_EQ(received->bytes, 10U);
}

TEST(UnixSocket, TellsWhichProcessSentAMessage) {
  const TemporaryDirectory directory;
  auto listener = UnixListener::Listen(directory.Path("s"), 0600);
  ASSERT_TRUE(listener.ok());
  Result<UniqueFd> client = ConnectUnix(directory.Path("s"));
  ASSERT_TRUE(client.ok());
  Result<UniqueFd> server = (*listener)->Accept();
  ASSERT_TRUE(ReportSenders(server->get()).ok());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(SendMessage(client->get(), "c", 1).ok() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(SendMessage(client->get(), "p", 1).ok());

  char buffer[8];
  EXPECT_EQ(ReceiveMessage(server->get(), buffer, sizeof(buffer))->sender_pid, child);
  EXPECT_EQ(ReceiveMessage(server->get(), buffer, sizeof(buffer))->sender_pid, ::getpid());
}

TEST(UnixListener, ReplacesTheSocketFileOfADeadProcess) {
  const TemporaryDirectory directory;
  const std::string path = directory.Path("s");
  {
    auto dead = UnixListener::Listen(path, 0666);
    ASSERT_TRUE(dead.ok());
    // What kill -9 leaves: the file stays, the lock does not.
    ASSERT_EQ(::rename(path.c_str(), directory.Path("kept").c_str()), 0);
  }
  ASSERT_EQ(::rename(directory.Path("kept").c_str(), path.c_str()), 0);
  ASSERT_FALSE(ConnectUnix(path).ok());

  auto listener = UnixListener::Listen(path, 0666);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  EXPECT_TRUE(ConnectUnix(path).ok());
}

TEST(UnixListener, ASecondOneAtTheSamePathIsRefusedAndNamesTheLock) {
  const TemporaryDirectory directory;
  auto first = UnixListener::Listen(directory.Path("s"), 0666);
  ASSERT_TRUE(first.ok());
  const auto second = UnixListener::Listen(directory.Path("s"), 0666);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kAlreadyExists);
  EXPECT_NE(second.status().message().find("s.lock"), std::string::npos);
  EXPECT_TRUE(ConnectUnix(directory.Path("s")).ok());
}

TEST(UnixListener, LeavesNothingBehindAndWhatAKilledOneLeftIsTakenOver) {
  const TemporaryDirectory directory;
  const std::string path = directory.Path("s");
  const UniqueFd left(::open((path + ".lock").c_str(), O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
  ASSERT_TRUE(left);
  for (int i = 0; i < 2; ++i) {
    const auto listener = UnixListener::Listen(path, 0666);
    ASSERT_TRUE(listener.ok()) << listener.status().message();
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(UnixListener, LeavesAFileThatIsNoSocketAlone) {
  const TemporaryDirectory directory;
  const UniqueFd file(::open(directory.Path("s").c_str(), O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
  const auto listener = UnixListener::Listen(directory.Path("s"), 0666);
  ASSERT_FALSE(listener.ok());
  EXPECT_NE(listener.status().message().find("is not a socket"), std::string::npos);
  EXPECT_EQ(::access(directory.Path("s").c_str(), F_OK), 0);
}

TEST(UnixListener, APathThatDoesNotFitIsNamedWithItsLimit) {
  const std::string path = "/" + std::string(200, 'x');
  const auto listener = UnixListener::Listen(path, 0666);
  ASSERT_FALSE(listener.ok());
  EXPECT_EQ(listener.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(listener.status().message().find("107"), std::string::npos);
  EXPECT_EQ(ConnectUnix(path).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace npu_ipc
