#include "tests/integration/identity/identity_process_test.h"

#include <signal.h>

#include <filesystem>

#include "hal/base/process.h"
#include "tests/fixtures/process_ids.h"

namespace npu_ipc::broker {

void IdentityProcessTest::PauseBroker() {
  broker_->Signal(SIGSTOP);
  const std::string threads = "/proc/" + std::to_string(broker_->pid()) + "/task";
  ASSERT_TRUE(WaitUntil([&] {
    for (const auto& thread : std::filesystem::directory_iterator(threads)) {
      const Result<std::string> status = ReadFile(thread.path() / "status");
      if (!status.ok() || status->find("\nState:\tT") == std::string::npos) return false;
    }
    return true;
  }));
}

void IdentityProcessTest::ResumeBroker() { broker_->Signal(SIGCONT); }

// One thread serves all in turn, so whoever has an answer came after what others sent before.
void IdentityProcessTest::WaitForBroker() {
  ClientProcess last;
  ASSERT_TRUE(WaitUntil([&] {
    EXPECT_TRUE(last.Connect(socket_));
    Send(last, Hello());
    return last.Receive().size() == sizeof(wire::Refused);  // it is in no pod
  }));
}

std::shared_ptr<ClientProcess> IdentityProcessTest::Replace(ClientProcess& process) {
  const pid_t pid = process.pid();
  process.Kill();
  std::shared_ptr<ClientProcess> next;
  EXPECT_TRUE(WaitUntil([&] {
    if (!SetNextPid(pid)) return false;
    next = std::make_shared<ClientProcess>();
    return next->pid() == pid;
  })) << "another process does not get pid "
      << pid;
  clients_.push_back(next);
  return next;
}

testing::AssertionResult IdentityProcessTest::RefusedAndClosed(ClientProcess& client,
                                                               wire::Status status) {
  const wire::Refused refused = ReceiveRefused(client);
  if (refused.status != status) {
    return testing::AssertionFailure()
           << "refused with " << static_cast<int>(refused.status) << ": " << refused.reason;
  }
  if (!Closed(client)) return testing::AssertionFailure() << "not closed";
  return testing::AssertionSuccess();
}

}  // namespace npu_ipc::broker
