// Processes whose library speaks protocol 1.0, as it was released, and this broker.
#include <string.h>

#include "tests/fixtures/wire_1_0.h"
#include "tests/unit/plugin/broker/old_client.h"

namespace npu_ipc::broker {
namespace {

using wire_1_0::MessageType;
using wire_1_0::Status;

class Client10Test : public OldClientTest {
 protected:
  void SetUp() override {
    OldClientTest::SetUp();
    Connect(*exporter_);
    Connect(*importer_);
  }

  wire_1_0::Welcome Connect(ClientProcess& client) {
    EXPECT_TRUE(client.Connect(socket_));
    auto hello = Make<wire_1_0::Hello>(MessageType::kHello, 1);
    strcpy(hello.library_version, "0.1.0");
    Send(client, hello);
    return Take<wire_1_0::Welcome>(client, MessageType::kWelcome);
  }
  wire_1_0::Published PublishOld(const char* name) {
    auto publish = Make<wire_1_0::Publish>(MessageType::kPublish, 2);
    strcpy(publish.name, name);
    publish.handle_kind = wire_1_0::HandleKind::kIpcKey;
    memcpy(publish.handle, kSecretKey.data(), kSecretKey.size());
    publish.allocation_bytes = 4096;
    publish.view_bytes = 4096;
    Send(*exporter_, publish);
    return Take<wire_1_0::Published>(*exporter_, MessageType::kPublished);
  }
  wire_1_0::Grant Share(const char* name) {
    auto attach = Make<wire_1_0::Attach>(MessageType::kAttach, 3);
    strcpy(attach.name, name);
    attach.wait_milliseconds = 30000;
    Send(*importer_, attach);
    const auto admit = Take<wire_1_0::Admit>(*exporter_, MessageType::kAdmit);
    EXPECT_EQ(admit.importer_host_pid, importer_->pid());
    auto admitted = Make<wire_1_0::Admitted>(MessageType::kAdmitted, admit.header.request_id);
    admitted.region_id = admit.region_id;
    admitted.importer_host_pid = admit.importer_host_pid;
    Send(*exporter_, admitted);
    const auto grant = Take<wire_1_0::Grant>(*importer_, MessageType::kGrant);
    auto imported = Make<wire_1_0::Imported>(MessageType::kImported, 4);
    imported.grant_id = grant.grant_id;
    Send(*importer_, imported);
    return grant;
  }
  wire_1_0::Withdrawn Withdraw(uint64_t region, uint32_t drain_milliseconds) {
    auto withdraw = Make<wire_1_0::Withdraw>(MessageType::kWithdraw, 5);
    withdraw.region_id = region;
    withdraw.drain_milliseconds = drain_milliseconds;
    Send(*exporter_, withdraw);
    return Take<wire_1_0::Withdrawn>(*exporter_, MessageType::kWithdrawn);
  }
};

TEST_F(Client10Test, SharesAsEver) {
  const auto published = PublishOld("rank-0");
  const auto grant = Share("rank-0");
  EXPECT_EQ(grant.generation, published.generation);
  EXPECT_EQ(memcmp(grant.handle, kSecretKey.data(), kSecretKey.size()), 0);
  EXPECT_EQ(Withdraw(published.region_id, 0).status, Status::kStillHeld);
  EXPECT_EQ(Take<wire_1_0::Withdrawing>(*importer_, MessageType::kWithdrawing).grant_id,
            grant.grant_id);
  auto detached = Make<wire_1_0::Detached>(MessageType::kDetached, 6);
  detached.grant_id = grant.grant_id;
  Send(*importer_, detached);
  EXPECT_EQ(Withdraw(published.region_id, 30000).status, Status::kOk);
}

// It reconnects and publishes again by its program's doing: nothing is reclaimed.
TEST_F(Client10Test, ComesBackToARestartedBroker) {
  const auto before = PublishOld("rank-0");
  RestartBroker();
  Connect(*exporter_);
  Connect(*importer_);
  EXPECT_GT(PublishOld("rank-0").generation, before.generation);
  Share("rank-0");
}

// The mapping of a process whose library is new, exported by one whose library is old.
TEST_F(Client10Test, ProvesTheClaimOfANewImporterByPublishingAgain) {
  PublishOld("rank-0");
  const auto grant = Share("rank-0");
  RestartBroker();
  ASSERT_TRUE(importer_->Connect(socket_));
  auto hello = Hello();
  hello.header.speaks_minor = 1;
  Send(*importer_, hello);
  Receive<wire::Welcome>(*importer_, wire::MessageType::kWelcome);
  auto claim = NewMessage<wire::ReclaimMapping>(wire::MessageType::kReclaimMapping, 2);
  PutText(claim.group, "weights");
  PutText(claim.name, "rank-0");
  claim.generation = grant.generation;
  claim.allocation_bytes = grant.allocation_bytes;
  claim.view_bytes = grant.view_bytes;
  claim.exporter_host_pid = grant.exporter_host_pid;
  claim.handle_kind = wire::HandleKind::kIpcKey;
  memcpy(claim.handle, grant.handle, sizeof(claim.handle));
  PutText(claim.exporter_pod_uid, grant.exporter_pod_uid);
  Send(*importer_, claim);
  const uint64_t claimed =
      Receive<wire::Reclaimed>(*importer_, wire::MessageType::kReclaimed).grant_id;

  Connect(*exporter_);
  const auto published = PublishOld("rank-0");
  EXPECT_EQ(Withdraw(published.region_id, 0).remaining, 1U);
  EXPECT_EQ(Receive<wire::Withdrawing>(*importer_, wire::MessageType::kWithdrawing).grant_id,
            claimed);
}

// A pod that allows nothing: the connection ends, as it always did.
TEST_F(Client10Test, IsRefusedAndClosed) {
  const auto nobody = AddProcess(AddPod("nobody", ""));
  ASSERT_TRUE(nobody->Connect(socket_));
  Send(*nobody, Make<wire_1_0::Hello>(MessageType::kHello, 1));
  EXPECT_EQ(Take<wire_1_0::Refused>(*nobody, MessageType::kRefused).status, Status::kNoGroup);
  EXPECT_TRUE(Closed(*nobody));
}

}  // namespace
}  // namespace npu_ipc::broker
