// Shares between real processes, and what happens when they end at a bad moment.
#include <string.h>

#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class BrokerShareTest : public BrokerProcessTest {
 protected:
  void SetUp() override {
    BrokerProcessTest::SetUp();
    StartBroker({"--client-disconnect-grace=100ms"});
    exporter_pod_ = AddPod("exporter", "weights:exporter");
    importer_pod_ = AddPod("importer", "weights:importer");
    exporter_ = AddClient(exporter_pod_);
    importer_ = AddClient(importer_pod_);
  }
  uint64_t PublishRegion(ClientProcess& exporter) {
    Send(exporter, Publish("rank-0"));
    return Receive<wire::Published>(exporter, MessageType::kPublished).region_id;
  }
  wire::Grant Share() {
    Send(*importer_, Attach("rank-0", 10000, 1));
    const auto admit = Receive<wire::Admit>(*exporter_, MessageType::kAdmit);
    EXPECT_EQ(admit.importer_host_pid, importer_->pid());
    Send(*exporter_, Admitted(admit));
    return Receive<wire::Grant>(*importer_, MessageType::kGrant);
  }

  PodRecord exporter_pod_;
  PodRecord importer_pod_;
  std::shared_ptr<ClientProcess> exporter_;
  std::shared_ptr<ClientProcess> importer_;
};

TEST_F(BrokerShareTest, FromPublishToTheOrderedClose) {
  const uint64_t region = PublishRegion(*exporter_);
  const wire::Grant grant = Share();
  EXPECT_EQ(memcmp(grant.handle, kSecretKey.data(), kSecretKey.size()), 0);
  EXPECT_EQ(grant.exporter_host_pid, exporter_->pid());
  EXPECT_EQ(grant.exporter_pod_uid, exporter_pod_.uid);
  EXPECT_EQ(grant.enable_peer_access, 1U);
  EXPECT_TRUE(WaitForLog("granted: grant=" + std::to_string(grant.grant_id)));
  EXPECT_THAT(Log(), HasSubstr("pod=team/importer container=" + container_ids_[importer_pod_.uid] +
                               " pid=" + std::to_string(importer_->pid())));
  EXPECT_TRUE(WaitForMetric("grants 1"));

  auto withdraw = NewMessage<wire::Withdraw>(MessageType::kWithdraw, 8);
  withdraw.region_id = region;
  withdraw.drain_milliseconds = 30000;
  Send(*exporter_, withdraw);
  EXPECT_EQ(Receive<wire::Withdrawing>(*importer_, MessageType::kWithdrawing).grant_id,
            grant.grant_id);
  auto detached = NewMessage<wire::Detached>(MessageType::kDetached, 0);
  detached.grant_id = grant.grant_id;
  Send(*importer_, detached);
  Receive<wire::PeerRelease>(*importer_, MessageType::kPeerRelease);
  Receive<wire::PeerRelease>(*exporter_, MessageType::kPeerRelease);
  EXPECT_EQ(Receive<wire::Withdrawn>(*exporter_, MessageType::kWithdrawn).status, Status::kOk);
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

TEST_F(BrokerShareTest, RolesAndGroupsDecide) {
  Send(*importer_, Publish("rank-0"));
  EXPECT_EQ(ReceiveRefused(*importer_).status, Status::kRoleDenied);
  Send(*exporter_, Attach("rank-0", 0));
  EXPECT_EQ(ReceiveRefused(*exporter_).status, Status::kRoleDenied);
  wire::Attach attach = Attach("rank-0", 0);
  PutText(attach.group, "elsewhere");
  Send(*importer_, attach);
  const wire::Refused refused = ReceiveRefused(*importer_);
  EXPECT_EQ(refused.status, Status::kNotInGroup);
  EXPECT_THAT(refused.reason, HasSubstr("'elsewhere'"));
}

TEST_F(BrokerShareTest, AnAnnotationThatChangesCountsAtTheNextRequest) {
  PublishRegion(*exporter_);
  pods_[1].annotations["npu-ipc.io/group"] = "weights:exporter";
  WritePods();
  ASSERT_TRUE(WaitForLog("pods=2 changed=1"));
  ASSERT_TRUE(WaitUntil([&] {
    Send(*importer_, Attach("rank-0", 0));
    return ReceiveRefused(*importer_).status == Status::kRoleDenied;
  }));
}

TEST_F(BrokerShareTest, ADuplicateNameIsRefusedWithItsHolder) {
  PublishRegion(*exporter_);
  const auto other = AddClient(AddPod("other", "weights"));
  Send(*other, Publish("rank-0"));
  const wire::Refused refused = ReceiveRefused(*other);
  EXPECT_EQ(refused.status, Status::kNameTaken);
  EXPECT_THAT(refused.reason,
              HasSubstr("team/exporter (host pid " + std::to_string(exporter_->pid()) + ")"));
  exporter_->Kill();
  ASSERT_TRUE(WaitForMetric("regions 0"));
  PublishRegion(*other);
}

TEST_F(BrokerShareTest, AnAttachThatNobodyPublishesForEndsWithItsWait) {
  Send(*importer_, Attach("rank-0", 100));
  const wire::Refused refused = ReceiveRefused(*importer_);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_EQ(refused.header.request_id, 3U);
  EXPECT_THAT(refused.reason, HasSubstr("no exporter on this node published region 'rank-0'"));
}

TEST_F(BrokerShareTest, AnAttachWaitsForTheExporter) {
  Send(*importer_, Attach("rank-0", UINT32_MAX, 1));
  ASSERT_TRUE(WaitForMetric("waiting_attaches 1"));
  PublishRegion(*exporter_);
  Send(*exporter_, Admitted(Receive<wire::Admit>(*exporter_, MessageType::kAdmit)));
  Receive<wire::Grant>(*importer_, MessageType::kGrant);
}

TEST_F(BrokerShareTest, AnExporterKilledDuringAnAttachLeavesItWaitingForTheNext) {
  PublishRegion(*exporter_);
  Send(*importer_, Attach("rank-0", 30000, 1));
  Receive<wire::Admit>(*exporter_, MessageType::kAdmit);
  exporter_->Kill();
  ASSERT_TRUE(WaitForMetric("regions 0"));
  exporter_ = AddClient(exporter_pod_);
  Send(*exporter_, Publish("rank-0"));
  const uint64_t generation =
      Receive<wire::Published>(*exporter_, MessageType::kPublished).generation;
  Send(*exporter_, Admitted(Receive<wire::Admit>(*exporter_, MessageType::kAdmit)));
  EXPECT_EQ(Receive<wire::Grant>(*importer_, MessageType::kGrant).generation, generation);
}

TEST_F(BrokerShareTest, AnExporterKilledDuringAnAttachIsNamedWhenNoneFollows) {
  PublishRegion(*exporter_);
  Send(*importer_, Attach("rank-0", 500, 1));
  Receive<wire::Admit>(*exporter_, MessageType::kAdmit);
  exporter_->Kill();
  EXPECT_EQ(ReceiveRefused(*importer_).status, Status::kExporterGone);
}

TEST_F(BrokerShareTest, AnImporterKilledBeforeItWasListedTaintsTheKey) {
  PublishRegion(*exporter_);
  Send(*importer_, Attach("rank-0", 30000, 1));
  const auto admit = Receive<wire::Admit>(*exporter_, MessageType::kAdmit);
  const pid_t pid = importer_->pid();
  importer_->Kill();
  Send(*exporter_, Admitted(admit));
  EXPECT_TRUE(WaitForMetric("tainted_keys_total 1"));
  EXPECT_TRUE(WaitForLog("key tainted"));
  EXPECT_THAT(Log(), HasSubstr("pid=" + std::to_string(pid)));
  EXPECT_TRUE(WaitForMetric("grants 0"));
}

TEST_F(BrokerShareTest, AnImporterKilledAfterItsGrantHoldsNothing) {
  PublishRegion(*exporter_);
  Share();
  importer_->Kill();
  Receive<wire::PeerRelease>(*exporter_, MessageType::kPeerRelease);
  EXPECT_TRUE(WaitForMetric("grants 0"));
}

TEST_F(BrokerShareTest, ImportersLearnThatTheirExporterWasKilled) {
  PublishRegion(*exporter_);
  const wire::Grant grant = Share();
  exporter_->Kill();
  const auto withdrawing = Receive<wire::Withdrawing>(*importer_, MessageType::kWithdrawing);
  EXPECT_EQ(withdrawing.grant_id, grant.grant_id);
  EXPECT_EQ(withdrawing.reason, wire::WithdrawReason::kExporterGone);
}

TEST_F(BrokerShareTest, AnExporterThatOnlyLosesItsConnectionIsWithdrawnAfterTheGracePeriod) {
  PublishRegion(*exporter_);
  Share();
  exporter_->Disconnect();
  EXPECT_EQ(Receive<wire::Withdrawing>(*importer_, MessageType::kWithdrawing).reason,
            wire::WithdrawReason::kWithdrawn);
}

}  // namespace
}  // namespace npu_ipc::broker
