// A good guest: what the library must not do to the process that it is in.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadsAfterFork = false;  // its runtime does not support them
#else
constexpr bool kThreadsAfterFork = true;
#endif

// The ids of this process' threads that are named as the library names its own.
std::vector<std::string> LibraryThreads() {
  std::vector<std::string> threads;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == "npu-ipc") threads.push_back(task.path().filename());
  }
  return threads;
}

// Waits until the thread that the library has started has (not) its name.
bool WaitForThreads(size_t count) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMilliseconds);
  while (LibraryThreads().size() != count) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

std::set<int> OpenDescriptors() {
  std::set<int> open;
  for (int fd = 0; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) open.insert(fd);
  }
  return open;
}

class GuestTest : public ClientTest {
 protected:
  // Opens, and returns the descriptors that are the library's.
  std::set<int> OpenAndPublish() {
    const std::set<int> before = OpenDescriptors();
    Open();
    region_ = Publish("r", 5);
    EXPECT_GE(npu_ipc_event_fd(client_), 0);
    std::set<int> ours;
    for (const int fd : OpenDescriptors()) {
      if (before.count(fd) == 0 && fd != connection_->fd()) ours.insert(fd);
    }
    return ours;
  }

  npu_ipc_region* region_ = nullptr;
};

// Runs `body` in a forked child; true when it returned true.
template <class Body>
bool InChild(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(GuestTest, NoThreadUntilSomethingIsShared) {
  Open();
  npu_ipc_identity identity = {};
  identity.struct_bytes = sizeof(identity);
  EXPECT_EQ(npu_ipc_whoami(client_, &identity), NPU_IPC_OK);
  EXPECT_TRUE(LibraryThreads().empty());
  Publish("r", 5);
  EXPECT_TRUE(WaitForThreads(1));
  Publish("s", 6, kOtherMemory);
  EXPECT_EQ(LibraryThreads().size(), 1u);
  npu_ipc_close(client_);
  client_ = nullptr;
  EXPECT_TRUE(WaitForThreads(0));
}

TEST_F(GuestTest, TheThreadBlocksEverySignalAndTheCallersMaskIsKept) {
  sigset_t before, after;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);
  Open();
  npu_ipc_region* region = nullptr;
  // On this thread, whose mask is looked at; the broker's answer comes from another.
  std::thread broker([this] {
    const auto request = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
    connection_->Send(wire::Published{{}, 5, 1}, wire::MessageType::kPublished,
                      request.header.request_id);
  });
  EXPECT_EQ(npu_ipc_publish(client_, "r", kMemory, kBytes, nullptr, &region), NPU_IPC_OK);
  broker.join();
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
  for (int signal = 1; signal < NSIG; ++signal) {
    EXPECT_EQ(::sigismember(&before, signal), ::sigismember(&after, signal)) << signal;
  }
  ASSERT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kOk);
  // As a vendor call on that thread sees it: /proc tells of an emulator, where there is one.
  const sigset_t blocked = FakeVendor::Get().whitelisting_signal_mask();
  sigset_t all, possible;
  ::sigfillset(&all);  // but for libc's own: setuid() waits until every thread has taken one
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, &possible);
  EXPECT_TRUE(::sigismember(&possible, SIGPROF));
  for (int signal = 1; signal < NSIG; ++signal) {
    EXPECT_EQ(::sigismember(&blocked, signal), ::sigismember(&possible, signal)) << signal;
  }
}

TEST_F(GuestTest, ErrnoIsKept) {
  npu_ipc_open_options options = {};
  options.struct_bytes = sizeof(options);
  options.socket_path = "/nonexistent/broker.sock";
  options.timeout_ms = 20;
  npu_ipc_client* away = nullptr;
  errno = 1234;
  EXPECT_EQ(npu_ipc_open(&options, &away), NPU_IPC_NO_BROKER);
  EXPECT_EQ(errno, 1234);
  npu_ipc_close(away);
  EXPECT_EQ(errno, 1234);
  Open();
  npu_ipc_mapping* mapping = nullptr;
  npu_ipc_attach_options attach = {};
  attach.struct_bytes = sizeof(attach);
  attach.wait_ms = 20;
  npu_ipc_event event = {};
  event.struct_bytes = sizeof(event);
  errno = 1235;
  EXPECT_EQ(npu_ipc_attach(client_, "r", &attach, &mapping), NPU_IPC_TIMED_OUT);
  EXPECT_EQ(npu_ipc_next_event(client_, 1, &event), NPU_IPC_NO_EVENT);
  EXPECT_GE(npu_ipc_event_fd(client_), 0);
  EXPECT_EQ(errno, 1235);
}

TEST_F(GuestTest, PrintsNothing) {
  TemporaryDirectory directory;
  const std::string path = directory.Path("output");
  const int output = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const int saved[2] = {::dup(1), ::dup(2)};
  ::dup2(output, 1);
  ::dup2(output, 2);
  npu_ipc_client* away = nullptr;
  npu_ipc_open_options options = {};
  options.struct_bytes = sizeof(options);
  options.socket_path = "/nonexistent/broker.sock";
  options.timeout_ms = 5;
  npu_ipc_open(&options, &away);
  npu_ipc_close(away);
  Open();
  Publish("r", 5);
  FakeVendor::Get().Fail("aclrtIpcMemSetImportPid", 507899);
  Admit(MakeAdmit(5, 1));
  connection_->SendRaw("nonsense", 8);
  NextEvent();
  npu_ipc_close(client_);
  client_ = nullptr;
  ::dup2(saved[0], 1);
  ::dup2(saved[1], 2);
  for (const int fd : {output, saved[0], saved[1]}) ::close(fd);
  EXPECT_EQ(std::filesystem::file_size(path), 0u);
}

TEST_F(GuestTest, EveryDescriptorIsCloseOnExecAndGivenBack) {
  const std::set<int> before = OpenDescriptors();
  const std::set<int> ours = OpenAndPublish();
  EXPECT_EQ(ours.size(), 5u);  // the socket, a pipe that wakes the thread, a pipe for events
  for (const int fd : ours) EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC) << fd;
  npu_ipc_close(client_);
  client_ = nullptr;
  connection_.reset();
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(GuestTest, AForkedChildIsToldAndHarmsNothing) {
  std::set<int> not_ours = OpenDescriptors();
  Open();
  not_ours.insert(connection_->fd());
  npu_ipc_region* const region = Publish("r", 5);
  npu_ipc_mapping* const mapping = Attach("m", 50);
  // The thread opens its epoll descriptor between two messages that follow the first attach: it has
  // done so once it has answered the second.
  EXPECT_EQ(Admit(MakeAdmit(5, 7999)).status, wire::Status::kOk);
  EXPECT_EQ(Admit(MakeAdmit(5, 8000)).status, wire::Status::kOk);
  EXPECT_TRUE(InChild([&] {
    npu_ipc_identity identity = {};
    identity.struct_bytes = sizeof(identity);
    npu_ipc_region_info region_info = {};
    region_info.struct_bytes = sizeof(region_info);
    npu_ipc_mapping_info mapping_info = {};
    mapping_info.struct_bytes = sizeof(mapping_info);
    npu_ipc_event event = {};
    event.struct_bytes = sizeof(event);
    npu_ipc_region* new_region = nullptr;
    npu_ipc_mapping* new_mapping = nullptr;
    char text[64];
    bool told = true;
    for (const npu_ipc_status status : {
             npu_ipc_whoami(client_, &identity),
             npu_ipc_publish(client_, "x", kMemory, kBytes, nullptr, &new_region),
             npu_ipc_attach(client_, "x", nullptr, &new_mapping),
             npu_ipc_region_get_info(region, &region_info),
             npu_ipc_mapping_get_info(mapping, &mapping_info),
             npu_ipc_withdraw(region, 0, 1),
             npu_ipc_detach(mapping),
             npu_ipc_next_event(client_, 0, &event),
             npu_ipc_last_error(client_, text, sizeof(text)),
         }) {
      told = told && status == NPU_IPC_WRONG_PROCESS;
    }
    told = told && npu_ipc_event_fd(client_) == -1 && npu_ipc_last_vendor_code(client_) == 0;
    npu_ipc_close(client_);
    return told && OpenDescriptors() == not_ours;
  }));
  // The parent's share is as it was.
  EXPECT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kOk);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_LIVE);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(GuestTest, AForkedChildOpensItsOwn) {
  Open();
  Publish("r", 5);
  std::unique_ptr<BrokerConnection> childs;
  std::thread broker([&] {
    childs = broker_.Accept();
    const wire::Hello hello = childs->Welcome();
    EXPECT_NE(hello.claimed_pid, ::getpid());
    if (!kThreadsAfterFork) return;
    const auto request = childs->Receive<wire::Publish>(wire::MessageType::kPublish);
    childs->Send(wire::Published{{}, 6, 1}, wire::MessageType::kPublished,
                 request.header.request_id);
  });
  const std::string path = broker_.path();
  EXPECT_TRUE(InChild([&] {
    npu_ipc_open_options options = {};
    options.struct_bytes = sizeof(options);
    options.socket_path = path.c_str();
    npu_ipc_client* client = nullptr;
    if (npu_ipc_open(&options, &client) != NPU_IPC_OK) return false;
    npu_ipc_region* region = nullptr;
    // The same memory: the parent's key is not the child's.
    return !kThreadsAfterFork ||
           npu_ipc_publish(client, "r", kMemory, kBytes, nullptr, &region) == NPU_IPC_OK;
  }));
  broker.join();
  EXPECT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kOk);
}

TEST_F(GuestTest, AHostThatClosesEverythingLosesOnlyTheConnection) {
  const std::set<int> ours = OpenAndPublish();
  for (const int fd : ours) ::close(fd);
  EXPECT_TRUE(connection_->Ended());
  EXPECT_TRUE(WaitForThreads(0));
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
  // The next call starts anew.
  connection_.reset();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("m", &mapping);
  connection_ = broker_.Accept();
  connection_->Welcome(/*speaks_minor=*/0);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  ASSERT_EQ(attached.get(), NPU_IPC_OK);
  EXPECT_GE(npu_ipc_event_fd(client_), 0);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(GuestTest, AHostsFilesAtOurNumbersAreNotTouched) {
  const std::set<int> ours = OpenAndPublish();
  int host[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, host), 0);
  ASSERT_EQ(::send(host[1], "mine", 4, 0), 4);
  for (const int fd : ours) ASSERT_EQ(::dup2(host[0], fd), fd);
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("m", &mapping);
  auto second = broker_.Accept();
  second->Welcome();
  const auto request = second->ReceiveAttachAgain();
  second->Refuse(request.header.request_id, wire::Status::kNotFound, "no");
  EXPECT_EQ(attached.get(), NPU_IPC_NOT_FOUND);
  npu_ipc_close(client_);
  client_ = nullptr;
  for (const int fd : ours) EXPECT_GE(::fcntl(fd, F_GETFD), 0) << "closed under its owner";
  char text[8] = "";
  EXPECT_EQ(::recv(host[0], text, sizeof(text), 0), 4);   // not read by anybody else
  EXPECT_EQ(::recv(host[1], text, sizeof(text), 0), -1);  // nothing was sent through it
  for (const int fd : ours) ::close(fd);
  ::close(host[0]);
  ::close(host[1]);
}

TEST_F(GuestTest, AVendorCallThatHangsDoesNotHangClose) {
  Open(/*timeout_ms=*/100);
  Publish("r", 5);
  FakeVendor::Get().BlockWhitelisting();
  connection_->Send(MakeAdmit(5, 8001), wire::MessageType::kAdmit, 1);
  FakeVendor::Get().WaitUntilWhitelistingBlocks();
  npu_ipc_close(client_);
  client_ = nullptr;
  EXPECT_EQ(LibraryThreads().size(), 1u);
  FakeVendor::Get().UnblockWhitelisting();
  EXPECT_TRUE(WaitForThreads(0));
}

}  // namespace
}  // namespace npu_ipc::test
