// libnpu_ipc.so in a host of each C library, from loading to exec, with this test as the broker.
// What the host checks of its own process is in host_program.c.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/fixtures/child_process.h"
#include "tests/guest/environment.h"
#include "tests/unit/runtime/fake_broker.h"

namespace npu_ipc::test {
namespace {

constexpr size_t kBytes = 8 << 20;

class HostTest : public ::testing::TestWithParam<Environment> {
 protected:
  Result<ChildProcess> StartHost() {
    const std::vector<std::string> again = GetParam().Command("host_program");
    ChildProcess::Options options;
    options.arguments = again;
    options.arguments.insert(options.arguments.end(), {kInjectedLibraries[0], broker_.path()});
    options.arguments.insert(options.arguments.end(), again.begin(), again.end());
    options.arguments.push_back("descriptors");
    options.error_file = directory_.Path("stderr");
    return ChildProcess::Start(options);
  }
  void LetItPublish(BrokerConnection& host) {
    const auto publish = host.Receive<wire::Publish>(wire::MessageType::kPublish);
    host.Send(wire::Published{{}, 5, 1}, wire::MessageType::kPublished, publish.header.request_id);
  }
  void AdmitAndLetItAttach(BrokerConnection& host) {
    const auto attach = host.Receive<wire::Attach>(wire::MessageType::kAttach);
    wire::Admit admit = {};
    admit.region_id = 5;
    admit.importer_host_pid = 8001;
    admit.deadline_milliseconds = kDeadlineMilliseconds;
    host.Send(admit, wire::MessageType::kAdmit, 7);
    EXPECT_EQ(host.Receive<wire::Admitted>(wire::MessageType::kAdmitted).status, wire::Status::kOk);
    wire::Grant grant = {};
    grant.grant_id = 50;
    grant.generation = 1;
    grant.allocation_bytes = kBytes;
    grant.view_bytes = kBytes;
    grant.handle_kind = wire::HandleKind::kIpcKey;
    memset(grant.handle, 'k', 64);
    host.Send(grant, wire::MessageType::kGrant, attach.header.request_id);
    EXPECT_EQ(host.Receive<wire::Imported>(wire::MessageType::kImported).status, wire::Status::kOk);
  }
  void LetItGo(BrokerConnection& host) {
    EXPECT_EQ(host.Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 50u);
    const auto withdraw = host.Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
    host.Send(wire::Withdrawn{{}, 5, wire::Status::kOk, 0, {}}, wire::MessageType::kWithdrawn,
              withdraw.header.request_id);
  }
  std::string Printed() const {
    std::ifstream file(directory_.Path("stderr"));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  FakeBroker broker_;
  TemporaryDirectory directory_;
};

TEST_P(HostTest, IsAsItWas) {
  Result<ChildProcess> host = StartHost();
  ASSERT_TRUE(host.ok()) << host.status().message();
  auto client = broker_.Accept();
  ASSERT_NE(client, nullptr) << Printed();
  client->Welcome();
  LetItPublish(*client);
  AdmitAndLetItAttach(*client);
  LetItGo(*client);
  EXPECT_TRUE(client->Ended()) << Printed();
  auto open_at_exec = broker_.Accept();
  ASSERT_NE(open_at_exec, nullptr) << Printed();
  open_at_exec->Welcome();
  EXPECT_TRUE(open_at_exec->Ended());
  const Result<int> exit_code = host->Wait();
  ASSERT_TRUE(exit_code.ok()) << exit_code.status().message();
  EXPECT_EQ(*exit_code, 0);
  EXPECT_EQ(host->ReadLine().status().code(), StatusCode::kUnavailable) << "printed something";
  EXPECT_EQ(Printed(), "");
}

INSTANTIATE_TEST_SUITE_P(Guest, HostTest, ::testing::ValuesIn(kEnvironments),
                         [](const auto& given) { return std::string(given.param.name); });

}  // namespace
}  // namespace npu_ipc::test
