// Calls against servers that no HTTP library would be: they stop in the middle of anything.
#include "plugin/cluster/call_supervisor.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "hal/base/fd.h"
#include "plugin/cluster/api_client.h"
#include "plugin/cluster/reply.h"

namespace npu_ipc::cluster {
namespace {

using testing::HasSubstr;

const ObjectPath kNode{kNodes, "", "node-1"};
constexpr Duration kSoon = std::chrono::milliseconds(100);
constexpr Duration kPromptly = std::chrono::seconds(3);

// Listens at 127.0.0.1; what it does with connections is each test's.
class Listener {
 public:
  explicit Listener(int backlog = 4) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = Address();
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_.get(), backlog), 0);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }

  ClusterConfig Config(bool tls) const {
    ClusterConfig config;
    config.host = "127.0.0.1";
    config.port = port_;
    config.tls = tls;
    config.skip_server_verification = true;
    return config;
  }
  UniqueFd Accept() const { return UniqueFd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address = Address();
    address.sin_port = htons(port_);
    (void)::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    return fd;
  }

 private:
  static sockaddr_in Address() {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  UniqueFd fd_;
  uint16_t port_ = 0;
};

void ExpectEndedInTime(const ClusterConfig& config) {
  ApiClient client(config);
  const TimePoint start = SystemClock().Now();
  const Reply reply = client.Get(kNode, {.timeout = kSoon});
  EXPECT_EQ(reply.status.code(), StatusCode::kDeadlineExceeded) << reply.status.message();
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

TEST(CallSupervisor, EndsACallThatCannotConnect) {
  const Listener listener(/*backlog=*/0);
  // Fills the queue: the kernel drops who comes then.
  std::vector<UniqueFd> queue;
  for (int i = 0; i < 4; ++i) queue.push_back(listener.Connect());
  ExpectEndedInTime(listener.Config(/*tls=*/false));
}

TEST(CallSupervisor, EndsAHandshakeThatNobodyAnswers) {
  const Listener listener;
  ExpectEndedInTime(listener.Config(/*tls=*/true));
}

TEST(CallSupervisor, EndsARequestThatNobodyAnswers) {
  const Listener listener;
  ExpectEndedInTime(listener.Config(/*tls=*/false));
}

TEST(CallSupervisor, EndsARequestThatNobodyReads) {
  const Listener listener;
  ApiClient client(listener.Config(/*tls=*/false));
  const Json large = {{"padding", std::string(32 << 20, 'x')}};
  const Reply reply = client.Create({kEvents, "ns", ""}, large, {.timeout = kSoon});
  EXPECT_EQ(reply.status.code(), StatusCode::kDeadlineExceeded) << reply.status.message();
}

TEST(CallSupervisor, EndsAnAnswerWhoseHeadersTrickle) {
  const Listener listener;
  std::thread server([&] {
    const UniqueFd connection = listener.Accept();
    std::string text = "HTTP/1.1 200 OK\r\nX-Padding: " + std::string(100'000, 'x');
    pollfd hung_up = {connection.get(), POLLRDHUP, 0};
    for (const char c : text) {
      if (::poll(&hung_up, 1, /*milliseconds=*/10) > 0) return;
      if (::send(connection.get(), &c, 1, MSG_NOSIGNAL) != 1) return;
    }
    FAIL() << "the call has read it all";
  });
  ExpectEndedInTime(listener.Config(/*tls=*/false));
  server.join();
}

TEST(CallSupervisor, LeavesAConnectionThatIsCutToItself) {
  const Listener listener;
  std::thread server([&] { const UniqueFd connection = listener.Accept(); });
  const Reply reply = ApiClient(listener.Config(/*tls=*/false)).Get(kNode);
  server.join();
  EXPECT_EQ(reply.status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(reply.status.message(), HasSubstr("cut"));
}

TEST(CallSupervisor, SaysThatTheOtherEndSpeaksNoTls) {
  const Listener listener;
  std::thread server([&] {
    const UniqueFd connection = listener.Accept();
    const std::string text = "HTTP/1.1 400 Bad Request\r\n\r\n";
    EXPECT_EQ(::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
    pollfd hung_up = {connection.get(), POLLRDHUP, 0};
    ::poll(&hung_up, 1, /*milliseconds=*/30'000);
  });
  const Reply reply = ApiClient(listener.Config(/*tls=*/true)).Get(kNode);
  server.join();
  EXPECT_EQ(reply.status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(reply.status.message(), HasSubstr("TLS handshake failed"));
}

TEST(CallSupervisor, ShutsDownASocketThatComesAfterTheEnd) {
  CallSupervisor supervisor;
  Canceller canceller;
  canceller.Cancel();
  CallSupervisor::Call call(supervisor, &canceller, SystemClock().Now() + std::chrono::hours(1));
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  call.UseSocket(ours.get());
  char byte;
  EXPECT_EQ(::read(ours.get(), &byte, 1), 0);
  EXPECT_EQ(call.ended_by(), CallSupervisor::EndedBy::kCanceller);
}

TEST(CallSupervisor, FollowsADeadlineThatMoves) {
  CallSupervisor supervisor;
  CallSupervisor::Call call(supervisor, nullptr, SystemClock().Now() + std::chrono::hours(1));
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  call.UseSocket(ours.get());
  EXPECT_EQ(call.ended_by(), CallSupervisor::EndedBy::kItself);
  call.SetDeadline(SystemClock().Now());
  char byte;
  EXPECT_EQ(::read(ours.get(), &byte, 1), 0);
  EXPECT_EQ(call.ended_by(), CallSupervisor::EndedBy::kDeadline);
}

TEST(CancellerTest, EndsAWait) {
  Canceller canceller;
  std::thread other([&] { canceller.Cancel(); });
  const TimePoint start = SystemClock().Now();
  canceller.WaitFor(std::chrono::hours(1));
  other.join();
  EXPECT_TRUE(canceller.cancelled());
  EXPECT_LT(SystemClock().Now() - start, kPromptly);
}

TEST(CancellerTest, CallsItsListenersOnce) {
  Canceller canceller;
  int stayed = 0;
  int left = 0;
  canceller.AddListener([&] { ++stayed; });
  canceller.RemoveListener(canceller.AddListener([&] { ++left; }));
  canceller.Cancel();
  canceller.Cancel();
  EXPECT_EQ(stayed, 1);
  EXPECT_EQ(left, 0);
}

}  // namespace
}  // namespace npu_ipc::cluster
