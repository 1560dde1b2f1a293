// A caller reads the answer that it waits for itself, and nothing else that comes meanwhile is
// lost.
#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <fstream>
#include <set>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

std::string ReadLink(const std::string& path) {
  char target[256] = "";
  return ::readlink(path.c_str(), target, sizeof(target) - 1) > 0 ? target : "";
}

// The library's thread, as the kernel sees it.
struct ThreadActivity {
  bool asleep = false;
  long sleeps = -1;  // how often it has so far; -1 where there is no such thread
};

ThreadActivity ServiceThread() {
  DIR* const tasks = ::opendir("/proc/self/task");
  ThreadActivity activity;
  while (const dirent* const task = ::readdir(tasks)) {
    const std::string path = std::string("/proc/self/task/") + task->d_name;
    std::string name;
    std::getline(std::ifstream(path + "/comm"), name);
    if (name != "npu-ipc") continue;
    std::ifstream status(path + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("State:\tS", 0) == 0) activity.asleep = true;
      if (line.rfind("voluntary_ctxt_switches:", 0) == 0) {
        activity.sleeps = std::stol(line.substr(24));
      }
    }
  }
  ::closedir(tasks);
  return activity;
}

// While no other thread is in the library nothing wakes it any more.
bool WaitUntilAsleep() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!ServiceThread().asleep) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

class ReadTurnTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    Open();
    region_ = Publish("r", 5);
    // The first attach only makes the next ones possible.
    for (uint64_t grant = 1; grant <= 3; ++grant) {
      npu_ipc_mapping* const mapping = Attach("m", grant);
      ASSERT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
      connection_->Receive<wire::Detached>(wire::MessageType::kDetached);
    }
  }
  // An attach that the broker has got and not answered; the caller waits for it.
  wire::Attach BeginAttach() {
    attached_ = AttachLater("m", &mapping_);
    return connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  }
  void EndAttach(const wire::Attach& request) {
    connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
    connection_->Receive<wire::Imported>(wire::MessageType::kImported);
    EXPECT_EQ(attached_.get(), NPU_IPC_OK) << LastError();
    EXPECT_EQ(npu_ipc_detach(mapping_), NPU_IPC_OK);
    connection_->Receive<wire::Detached>(wire::MessageType::kDetached);
  }
  static int EpollDescriptor() {
    for (int fd = 0; fd < 1024; ++fd) {
      if (ReadLink("/proc/self/fd/" + std::to_string(fd)) == "anon_inode:[eventpoll]") return fd;
    }
    return -1;
  }

  npu_ipc_region* region_ = nullptr;
  npu_ipc_mapping* mapping_ = nullptr;
  std::future<npu_ipc_status> attached_;
};

TEST_F(ReadTurnTest, TheThreadSleepsOnWhileCallersAttach) {
  ASSERT_TRUE(WaitUntilAsleep());
  const long before = ServiceThread().sleeps;
  for (uint64_t grant = 10; grant < 20; ++grant) {
    ASSERT_EQ(npu_ipc_detach(Attach("m", grant)), NPU_IPC_OK);
    connection_->Receive<wire::Detached>(wire::MessageType::kDetached);
  }
  EXPECT_LE(ServiceThread().sleeps, before + 1) << "that one was counted a little later";
}

TEST_F(ReadTurnTest, WhatTheBrokerAsksMeanwhileIsAnswered) {
  const wire::Attach request = BeginAttach();
  EXPECT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kOk);
  EXPECT_EQ(Admit(MakeAdmit(5, 8002)).status, wire::Status::kOk);
  EndAttach(request);
}

// Its request id is the broker's, and happens to be that of our request.
TEST_F(ReadTurnTest, AQuestionWithTheNumberOfOurRequestIsNoAnswer) {
  const wire::Attach request = BeginAttach();
  admit_request_id_ = request.header.request_id - 1;
  EXPECT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kOk);
  EndAttach(request);
}

TEST_F(ReadTurnTest, AnAnswerToAnotherCallerReachesIt) {
  const wire::Attach request = BeginAttach();
  npu_ipc_region* other = nullptr;
  auto published = PublishLater("other", &other, kOtherMemory);
  const auto publish = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
  connection_->Send(wire::Published{{}, 6, 1}, wire::MessageType::kPublished,
                    publish.header.request_id);
  EXPECT_EQ(published.get(), NPU_IPC_OK);
  EndAttach(request);
  EXPECT_EQ(Admit(MakeAdmit(6, 8001)).status, wire::Status::kOk);
}

TEST_F(ReadTurnTest, ABrokerThatGoesEndsTheWaitAtOnce) {
  BeginAttach();
  connection_->Close();
  auto second = broker_.Accept();  // the caller's wait has not ended: it asks again
  second->Welcome();
  const wire::Attach again = second->ReceiveAttachAgain();
  second->Refuse(again.header.request_id, wire::Status::kNotFound, "no");
  EXPECT_EQ(attached_.get(), NPU_IPC_NOT_FOUND);
}

TEST_F(ReadTurnTest, AHostThatClosesEverythingMeanwhileCostsAReconnect) {
  BeginAttach();
  const int ours[] = {EpollDescriptor()};
  ASSERT_GE(ours[0], 0);
  for (int fd = 3; fd < 1024; ++fd) {
    const std::string target = ReadLink("/proc/self/fd/" + std::to_string(fd));
    const bool library = target.rfind("pipe:", 0) == 0 || fd == ours[0];
    if (library) ::close(fd);
  }
  auto second = broker_.Accept();
  second->Welcome();
  const wire::Attach again = second->ReceiveAttachAgain();
  second->Refuse(again.header.request_id, wire::Status::kNotFound, "no");
  EXPECT_EQ(attached_.get(), NPU_IPC_NOT_FOUND);
}

TEST_F(ReadTurnTest, AHostsEpollAtOurNumberIsNotTouched) {
  const int ours = EpollDescriptor();
  ASSERT_GE(ours, 0);
  const int host = ::epoll_create1(EPOLL_CLOEXEC);
  const int event = ::eventfd(1, EFD_CLOEXEC);
  epoll_event readable = {};
  readable.events = EPOLLIN | EPOLLET;
  ASSERT_EQ(::epoll_ctl(host, EPOLL_CTL_ADD, event, &readable), 0);
  ASSERT_EQ(::dup2(host, ours), ours);
  for (uint64_t grant = 10; grant < 13; ++grant) {
    ASSERT_EQ(npu_ipc_detach(Attach("m", grant)), NPU_IPC_OK);
    connection_->Receive<wire::Detached>(wire::MessageType::kDetached);
  }
  EXPECT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kOk);
  npu_ipc_close(std::exchange(client_, nullptr));
  EXPECT_GE(::fcntl(ours, F_GETFD), 0) << "closed under its owner";
  EXPECT_EQ(::epoll_wait(host, &readable, 1, 0), 1);  // its event is still there
  for (const int fd : {ours, host, event}) ::close(fd);
}

}  // namespace
}  // namespace npu_ipc::test
