// Processes whose library speaks protocol 1.1, as it was released, and this broker. Its messages
// are wire.h's, which tests/unit/runtime/wire_layout_test.cc holds to what they were.
#include <string.h>

#include "tests/unit/plugin/broker/old_client.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::Status;

constexpr uint16_t kMinor = 1;

class Client11Test : public OldClientTest {
 protected:
  void SetUp() override {
    OldClientTest::SetUp();
    Connect(*exporter_);
    Connect(*importer_);
  }

  template <class M>
  static M Make(MessageType type, uint64_t request_id) {
    return OldClientTest::Make<M>(type, request_id, wire::MinorOf(type));
  }
  void Connect(ClientProcess& client) {
    EXPECT_TRUE(client.Connect(socket_));
    auto hello = Make<wire::Hello>(MessageType::kHello, 1);
    hello.header.speaks_minor = kMinor;
    strcpy(hello.library_version, "0.2.0");
    Send(client, hello);
    const auto welcome = Take<wire::Welcome>(client, MessageType::kWelcome);
    EXPECT_EQ(welcome.host_pid, client.pid());
    EXPECT_GE(welcome.header.speaks_minor, kMinor);
  }
  // Of Publish and of ReclaimRegion, whose fields are the same.
  template <class M>
  static M Region(MessageType type) {
    M region = Make<M>(type, 2);
    strcpy(region.name, "rank-0");
    region.handle_kind = wire::HandleKind::kIpcKey;
    memcpy(region.handle, kSecretKey.data(), kSecretKey.size());
    region.allocation_bytes = 8192;
    region.view_offset = 4096;
    region.view_bytes = 4096;
    return region;
  }
  wire::Published PublishOld() {
    Send(*exporter_, Region<wire::Publish>(MessageType::kPublish));
    return Take<wire::Published>(*exporter_, MessageType::kPublished);
  }
  wire::Grant Share() {
    auto attach = Make<wire::Attach>(MessageType::kAttach, 3);
    strcpy(attach.name, "rank-0");
    attach.wait_milliseconds = 30000;
    Send(*importer_, attach);
    const auto admit = Take<wire::Admit>(*exporter_, MessageType::kAdmit);
    EXPECT_EQ(admit.header.version_minor, 0);
    EXPECT_EQ(admit.importer_host_pid, importer_->pid());
    EXPECT_EQ(admit.deadline_milliseconds, 5000U);  // admit.deadline, from its arrival
    auto admitted = Make<wire::Admitted>(MessageType::kAdmitted, admit.header.request_id);
    admitted.region_id = admit.region_id;
    admitted.importer_host_pid = admit.importer_host_pid;
    Send(*exporter_, admitted);
    const auto grant = Take<wire::Grant>(*importer_, MessageType::kGrant);
    auto imported = Make<wire::Imported>(MessageType::kImported, 4);
    imported.grant_id = grant.grant_id;
    Send(*importer_, imported);
    return grant;
  }
  // A mapping, as the importer of `grant` claims it.
  static wire::ReclaimMapping Mapping(const wire::Grant& grant) {
    auto claim = Make<wire::ReclaimMapping>(MessageType::kReclaimMapping, 6);
    strcpy(claim.name, "rank-0");
    claim.generation = grant.generation;
    claim.allocation_bytes = grant.allocation_bytes;
    claim.view_bytes = grant.view_bytes;
    claim.exporter_host_pid = grant.exporter_host_pid;
    claim.handle_kind = wire::HandleKind::kIpcKey;
    memcpy(claim.handle, grant.handle, sizeof(claim.handle));
    memcpy(claim.exporter_pod_uid, grant.exporter_pod_uid, sizeof(claim.exporter_pod_uid));
    return claim;
  }
  wire::Withdrawn Withdraw(uint64_t region) {
    auto withdraw = Make<wire::Withdraw>(MessageType::kWithdraw, 5);
    withdraw.region_id = region;
    Send(*exporter_, withdraw);
    return Take<wire::Withdrawn>(*exporter_, MessageType::kWithdrawn);
  }
};

TEST_F(Client11Test, SharesAsEver) {
  const auto published = PublishOld();
  const auto grant = Share();
  EXPECT_EQ(grant.generation, published.generation);
  EXPECT_EQ(grant.view_offset, 4096U);
  EXPECT_EQ(memcmp(grant.handle, kSecretKey.data(), kSecretKey.size()), 0);
  const auto withdrawn = Withdraw(published.region_id);
  EXPECT_EQ(withdrawn.status, Status::kStillHeld);
  EXPECT_EQ(withdrawn.remaining, 1U);
  EXPECT_EQ(Take<wire::Withdrawing>(*importer_, MessageType::kWithdrawing).grant_id,
            grant.grant_id);
}

TEST_F(Client11Test, TellsARestartedBrokerWhatItHolds) {
  const auto before = PublishOld();
  const auto grant = Share();
  RestartBroker();
  Connect(*importer_);
  Send(*importer_, Mapping(grant));
  const auto claimed = Take<wire::Reclaimed>(*importer_, MessageType::kReclaimed);
  Send(*importer_, Make<wire::ReclaimDone>(MessageType::kReclaimDone, 0));

  Connect(*exporter_);
  auto region = Region<wire::ReclaimRegion>(MessageType::kReclaimRegion);
  region.generation = before.generation;
  region.whitelisted = 1;
  Send(*exporter_, region);
  const auto again = Take<wire::Published>(*exporter_, MessageType::kPublished);
  EXPECT_EQ(again.generation, before.generation);
  Send(*exporter_, Make<wire::ReclaimDone>(MessageType::kReclaimDone, 0));
  EXPECT_EQ(Withdraw(again.region_id).remaining, 1U);
  EXPECT_EQ(Take<wire::Withdrawing>(*importer_, MessageType::kWithdrawing).grant_id,
            claimed.grant_id);
}

TEST_F(Client11Test, ListsAndSubscribes) {
  const auto published = PublishOld();
  Send(*importer_, Make<wire::List>(MessageType::kList, 3));
  const auto listed = Take<wire::Listed>(*importer_, MessageType::kListed);
  EXPECT_EQ(listed.found, 1U);
  EXPECT_STREQ(listed.region.name, "rank-0");
  EXPECT_EQ(listed.region.exporter_host_pid, exporter_->pid());
  EXPECT_STREQ(listed.region.exporter_pod, "exporter");

  Send(*importer_, Make<wire::Subscribe>(MessageType::kSubscribe, 4));
  const uint64_t subscription =
      Take<wire::Subscribed>(*importer_, MessageType::kSubscribed).subscription_id;
  auto change = Take<wire::RegionChange>(*importer_, MessageType::kRegionChange);
  EXPECT_EQ(change.subscription_id, subscription);
  EXPECT_EQ(change.change, wire::Change::kPublished);
  EXPECT_EQ(change.region.generation, published.generation);
  EXPECT_EQ(Withdraw(published.region_id).status, Status::kOk);
  change = Take<wire::RegionChange>(*importer_, MessageType::kRegionChange);
  EXPECT_EQ(change.change, wire::Change::kGone);
}

// So that it can tell what it holds from before.
TEST_F(Client11Test, KeepsItsConnectionWhereItsPodAllowsNothing) {
  const auto nobody = AddProcess(AddPod("nobody", ""));
  ASSERT_TRUE(nobody->Connect(socket_));
  auto hello = Make<wire::Hello>(MessageType::kHello, 1);
  hello.header.speaks_minor = kMinor;
  Send(*nobody, hello);
  EXPECT_EQ(Take<wire::Refused>(*nobody, MessageType::kRefused).status, Status::kNoGroup);
  Send(*nobody, Make<wire::List>(MessageType::kList, 2));
  EXPECT_EQ(Take<wire::Refused>(*nobody, MessageType::kRefused).header.request_id, 2U);
}

}  // namespace
}  // namespace npu_ipc::broker
