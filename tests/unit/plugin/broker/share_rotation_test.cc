// Keys that are closed and made anew, at every step of it.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using wire::MessageType;
using wire::RotateReason;
using wire::Status;
using wire::WithdrawReason;

// An exporter that wants `revoke: rotate`, one importer that will lose its right and one that keeps
// it.
class RotationTest : public ShareRegistryTest {
 protected:
  explicit RotationTest(const ShareLimits& limits = {}) : ShareRegistryTest(limits) {}

  void SetUp() override {
    context_.rotating.insert("uid-10");
    exporter_ = AddProcess(10);
    loser_ = AddProcess(20);
    keeper_ = AddProcess(21);
    region_ = Publish(exporter_, "rank-0").region_id;
    lost_ = Share(exporter_, loser_, "rank-0", 1).grant_id;
    kept_ = Share(exporter_, keeper_, "rank-0", 1).grant_id;
  }

  void Deny(pid_t importer) {
    const std::string uid = "uid-" + std::to_string(importer);
    context_.denied.insert({"uid-10", uid});
    registry_.RightsChanged(uid);
  }
  // Up to the exporter's being asked.
  wire::Rotate Drain() {
    Advance(seconds(10));
    return Next<wire::Rotate>(exporter_, MessageType::kRotate);
  }
  uint64_t TakeGeneration(RegionId region) {
    const auto message = Next<wire::Republished>(exporter_, MessageType::kRepublished);
    EXPECT_EQ(message.region_id, region);
    return message.generation;
  }

  ClientId exporter_ = 0;
  ClientId loser_ = 0;
  ClientId keeper_ = 0;
  RegionId region_ = 0;
  GrantId lost_ = 0;
  GrantId kept_ = 0;
};

TEST_F(RotationTest, ClosesTheKeyUnderWhoLostTheRightAndLetsTheOthersInAgain) {
  Deny(20);
  const auto told = Take<wire::Withdrawing>(loser_, MessageType::kWithdrawing);
  EXPECT_EQ(told.reason, WithdrawReason::kRevoked);
  EXPECT_EQ(told.drain_milliseconds, 10000U);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRotated);
  EXPECT_THAT(context_.revoked[loser_], ElementsAre(Status::kNamespaceDenied));
  EXPECT_TRUE(Counted("revoked_mappings 1"));
  EXPECT_TRUE(Counted("rotating_keys 1"));
  EXPECT_TRUE(NothingSent(exporter_)) << "importers have time to close";

  const wire::Rotate rotate = Drain();
  EXPECT_EQ(rotate.region_id, region_);
  EXPECT_EQ(rotate.reason, RotateReason::kRevoked);
  EXPECT_EQ(MillisecondsLeft(rotate), 10000U);
  Attach(keeper_, "rank-0", 1);
  EXPECT_TRUE(NothingSent(exporter_)) << "nobody is let in meanwhile";

  AnswerRotate(exporter_, rotate, "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  const auto admit = Take<wire::Admit>(exporter_, MessageType::kAdmit);
  EXPECT_EQ(admit.importer_host_pid, 21) << "the new key lists nobody";
  Answer(exporter_, admit);
  const auto grant = Take<wire::Grant>(keeper_, MessageType::kGrant);
  EXPECT_EQ(grant.generation, 2U);
  EXPECT_STREQ(reinterpret_cast<const char*>(grant.handle), "new-key");
  EXPECT_TRUE(Counted("revoked_mappings 0")) << "what is mapped still is dead";
  EXPECT_TRUE(Counted("rotating_keys 0"));
  EXPECT_TRUE(Counted("key_rotations_total{result=\"ok\"} 1"));
  EXPECT_TRUE(Counted("revocations_total{reason=\"namespace_denied\"} 1"));

  Attach(loser_, "rank-0", 1);
  EXPECT_EQ(TakeRefused(loser_).status, Status::kNamespaceDenied);
  // The dead mappings hold nothing up.
  Detach(keeper_, grant.grant_id);
  Withdraw(exporter_, region_, 5000);
  EXPECT_EQ(Next<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
  EXPECT_EQ(registry_.grants(), 2U);
  Detach(loser_, lost_);
  Detach(keeper_, kept_);
  EXPECT_EQ(registry_.grants(), 0U);
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(RotationTest, DoesNotWaitWhenEverybodyHasClosed) {
  Deny(20);
  Detach(loser_, lost_);
  Advance(milliseconds(0));
  EXPECT_TRUE(NothingSent(exporter_));
  Detach(keeper_, kept_);
  Advance(milliseconds(0));
  Next<wire::Rotate>(exporter_, MessageType::kRotate);
}

TEST_F(RotationTest, WhoIsListedAndHoldsNothingIsReasonEnough) {
  Detach(loser_, lost_);
  Deny(20);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRotated);
  EXPECT_TRUE(Counted("rotating_keys 1"));
}

TEST_F(RotationTest, AProcessThatHasEndedIsNoReason) {
  registry_.Remove(loser_);
  context_.ended.insert(20);
  Deny(20);
  EXPECT_TRUE(NothingSent(keeper_));
  EXPECT_TRUE(Counted("rotating_keys 0"));
}

TEST_F(RotationTest, AllNamesOfTheAllocationGetTheNewKey) {
  const RegionId second = Publish(exporter_, "rank-0-again").region_id;
  Deny(20);
  const wire::Rotate rotate = Drain();
  AnswerRotate(exporter_, rotate, "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  EXPECT_EQ(TakeGeneration(second), 2U);
  Discard();
  EXPECT_EQ(Share(exporter_, keeper_, "rank-0-again", 1).generation, 2U);
}

TEST_F(RotationTest, APublishThatWasOnItsWayWithTheOldKeyGetsTheNewOne) {
  Deny(20);
  const wire::Rotate rotate = Drain();
  AnswerRotate(exporter_, rotate, "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  Discard();
  context_.contradiction = "the driver has no such export any more";
  Publish(exporter_, "late", 0, "key");
  EXPECT_EQ(context_.usage.bytes, 4096U) << "it is the same allocation";
  EXPECT_STREQ(reinterpret_cast<const char*>(Share(exporter_, keeper_, "late").handle), "new-key");
}

TEST_F(RotationTest, APublishMeanwhileWaitsForTheNewKey) {
  Deny(20);
  const RegionId late = Publish(exporter_, "late").region_id;
  Attach(keeper_, "late");
  EXPECT_TRUE(NothingSent(exporter_));
  AnswerRotate(exporter_, Drain(), "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  EXPECT_EQ(TakeGeneration(late), 2U);
}

TEST_F(RotationTest, AdmissionsInFlightStartAgainOnTheNewKey) {
  const ClientId third = AddProcess(22);
  Attach(third, "rank-0", 1, 60000);
  const auto admit = Take<wire::Admit>(exporter_, MessageType::kAdmit);
  Deny(20);
  Answer(exporter_, admit);  // of the old key: nobody waits for it any more
  EXPECT_TRUE(NothingSent(third));
  AnswerRotate(exporter_, Drain(), "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  const auto again = Take<wire::Admit>(exporter_, MessageType::kAdmit);
  EXPECT_EQ(again.importer_host_pid, 22);
  Answer(exporter_, again);
  EXPECT_EQ(Take<wire::Grant>(third, MessageType::kGrant).generation, 2U);
}

TEST_F(RotationTest, AWaitThatEndsMeanwhileSaysWhatItWaitedFor) {
  Deny(20);
  context_.sent[keeper_].clear();
  Attach(keeper_, "rank-0", 1, 500);
  Advance(milliseconds(500));
  const wire::Refused refused = TakeRefused(keeper_);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_THAT(refused.reason, HasSubstr("renewing its key"));
}

TEST_F(RotationTest, WhatIsRevokedMeanwhileIsCoveredByIt) {
  Deny(20);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRotated);
  const wire::Rotate rotate = Drain();
  Deny(21);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRevoked);
  EXPECT_TRUE(Counted("revoked_mappings 2"));
  AnswerRotate(exporter_, rotate, "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  EXPECT_TRUE(Counted("revoked_mappings 0"));
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt) << "no second one";
}

TEST_F(RotationTest, ASecondOneLaterGivesTheNextGeneration) {
  Deny(20);
  AnswerRotate(exporter_, Drain(), "second");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  Discard();
  Share(exporter_, keeper_, "rank-0", 1);
  Deny(21);
  AnswerRotate(exporter_, Drain(), "third");
  EXPECT_EQ(TakeGeneration(region_), 3U);
}

TEST_F(RotationTest, AProgramThatWithdrawsEverythingNeedsNoNewKey) {
  Deny(20);
  Withdraw(exporter_, region_, 60000);
  Detach(loser_, lost_);
  Detach(keeper_, kept_);
  EXPECT_EQ(Next<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
  EXPECT_TRUE(Counted("key_rotations_total{result=\"withdrawn\"} 1"));
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(RotationTest, AProgramThatClosedTheKeyBeforeItWasAskedHasNothingToLose) {
  Deny(20);
  const wire::Rotate rotate = Drain();
  Detach(loser_, lost_);
  Detach(keeper_, kept_);
  Withdraw(exporter_, region_, 0);
  EXPECT_EQ(Next<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
  AnswerRotate(exporter_, rotate, "", Status::kNotFound);
  EXPECT_TRUE(Counted("key_rotations_total{result=\"withdrawn\"} 1"));
  EXPECT_TRUE(Counted("lost_regions_total 0"));
  EXPECT_EQ(registry_.regions(), 0U);
}

class FailedRotationTest : public RotationTest {
 protected:
  void SetUp() override {
    RotationTest::SetUp();
    Deny(20);
    EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRotated);
    EXPECT_EQ(TakeReason(loser_, lost_), WithdrawReason::kRevoked);
    rotate_ = Drain();
  }
  void ExpectLost(const std::string& result) {
    EXPECT_EQ(TakeGeneration(region_), 0U) << "the exporter is told";
    EXPECT_TRUE(Counted("key_rotations_total{result=\"" + result + "\"} 1"));
    EXPECT_TRUE(Counted("lost_regions_total 1"));
    EXPECT_TRUE(Counted("rotating_keys 0"));
    Attach(keeper_, "rank-0", 1, 0);
    EXPECT_EQ(Next<wire::Refused>(keeper_, MessageType::kRefused).status, Status::kNotFound);
  }
  wire::Rotate rotate_;
};

TEST_F(FailedRotationTest, AnExporterThatCannotCloseItsKeyLosesItsRegions) {
  AnswerRotate(exporter_, rotate_, "", Status::kExporterFailed, 507899);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kWithdrawn);
  EXPECT_TRUE(NothingSent(loser_)) << "it knows already";
  EXPECT_TRUE(Counted("revoked_mappings 1")) << "it still is mapped";
  ExpectLost("failed");
  Detach(keeper_, kept_);
  Detach(loser_, lost_);
  EXPECT_EQ(registry_.regions(), 0U);
}

TEST_F(FailedRotationTest, AKeyThatIsClosedAndNotMadeAnewLeavesDeadMappings) {
  AnswerRotate(exporter_, rotate_, "", Status::kExporterGone, 207001);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kExporterGone);
  EXPECT_EQ(TakeReason(loser_, lost_), WithdrawReason::kExporterGone);
  EXPECT_TRUE(Counted("revoked_mappings 0"));
  EXPECT_EQ(registry_.regions(), 0U);
  ExpectLost("failed");
}

TEST_F(FailedRotationTest, AnExporterThatDoesNotAnswerLosesItsRegions) {
  Advance(seconds(10));
  ExpectLost("timed_out");
  AnswerRotate(exporter_, rotate_, "late-key");
  EXPECT_TRUE(NothingSent(loser_));
}

TEST_F(FailedRotationTest, AnExporterThatDoesNotComeBackLosesItsRegions) {
  registry_.Disconnect(exporter_);
  EXPECT_TRUE(NothingSent(keeper_));
  Advance(seconds(30));
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kWithdrawn);
  EXPECT_TRUE(Counted("key_rotations_total{result=\"exporter_gone\"} 1"));
  Detach(keeper_, kept_);
  EXPECT_FALSE(context_.forgotten.contains(exporter_));
  Detach(loser_, lost_);
  EXPECT_TRUE(context_.forgotten.contains(exporter_));
}

TEST_F(FailedRotationTest, AnExporterThatEndsTakesItsKeyAlong) {
  registry_.Remove(exporter_);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kExporterGone);
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_TRUE(Counted("rotating_keys 0"));
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(FailedRotationTest, AKeyThatItHadBeforeIsNoNewKey) {
  AnswerRotate(exporter_, rotate_, "key");
  ExpectLost("failed");
}

TEST_F(FailedRotationTest, AKeyThatTheDriverContradictsIsNoNewKey) {
  context_.contradiction = "the driver has no such export";
  AnswerRotate(exporter_, rotate_, "new-key");
  EXPECT_EQ(context_.claims.back().key, "new-key");
  EXPECT_EQ(context_.claims.back().exporter, 10);
  EXPECT_EQ(context_.claims.back().bytes, 4096U);
  ExpectLost("failed");
}

TEST_F(FailedRotationTest, OnlyWhoWasAskedMayAnswer) {
  AnswerRotate(keeper_, rotate_, "my-key");
  EXPECT_TRUE(Counted("rotating_keys 1"));
  AnswerRotate(exporter_, rotate_, "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
}

TEST_F(FailedRotationTest, ImportersThatEndMeanwhileChangeNothing) {
  registry_.Remove(loser_);
  registry_.Remove(keeper_);
  EXPECT_TRUE(Counted("revoked_mappings 0"));
  AnswerRotate(exporter_, rotate_, "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
}

TEST_F(FailedRotationTest, AWithdrawMeanwhileIsAnsweredWhenTheOldKeyIsClosed) {
  Withdraw(exporter_, region_, 60000);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kWithdrawn);
  AnswerRotate(exporter_, rotate_, "new-key");
  EXPECT_EQ(Next<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(RotationTest, AnExporterThatIsAwayWhenItShouldBeAskedMayComeBack) {
  Deny(20);
  registry_.Disconnect(exporter_);
  Advance(seconds(10));
  EXPECT_TRUE(Counted("rotating_keys 1"));
  Advance(seconds(30));
  EXPECT_TRUE(Counted("key_rotations_total{result=\"exporter_gone\"} 1"));
  EXPECT_TRUE(Counted("rotating_keys 0"));
}

TEST_F(RotationTest, ALibraryThatIsTooOldForItIsNotAsked) {
  ClientInfo info;
  info.process = {11, 1};
  info.pod_cgroup_uid = "uid-10";
  info.pod_name = "old";
  const ClientId old = registry_.AddClient(info);
  Publish(old, "old", 0, "old-key");
  Share(old, loser_, "old");
  Deny(20);
  EXPECT_TRUE(Counted("key_rotations_total{result=\"unsupported\"} 1"));
  EXPECT_TRUE(Counted("revoked_mappings 2")) << "both are shown";
  Advance(seconds(10));
  EXPECT_TRUE(NothingSent(old));
}

TEST_F(RotationTest, ATaintedKeyIsRenewed) {
  const ClientId third = AddProcess(22);
  Attach(third, "rank-0", 1);
  const auto admit = Take<wire::Admit>(exporter_, MessageType::kAdmit);
  context_.dead.insert(third);
  Answer(exporter_, admit);
  EXPECT_EQ(TakeRefused(third).status, Status::kInternal);
  Advance(milliseconds(0));
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRotated);
  EXPECT_EQ(Drain().reason, RotateReason::kTainted);
}

TEST_F(RotationTest, AProcessThatNobodyAskedForTaintsTheKey) {
  wire::Admit invented = {};
  invented.region_id = region_;
  invented.importer_host_pid = 4711;
  Answer(exporter_, invented);
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
  Advance(milliseconds(0));
  EXPECT_TRUE(Counted("rotating_keys 1"));
}

TEST_F(RotationTest, ATaintedKeyStaysWhereThePodDoesNotWantRotation) {
  context_.rotating.clear();
  wire::Admit invented = {};
  invented.region_id = region_;
  invented.importer_host_pid = 4711;
  Answer(exporter_, invented);
  Advance(milliseconds(0));
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
  EXPECT_TRUE(Counted("rotating_keys 0"));
}

class FullKeyTest : public RotationTest {
 protected:
  FullKeyTest() : RotationTest(ShareLimits{.whitelist = 2}) {}
};

TEST_F(FullKeyTest, IsRenewedBeforeOneMoreIsLetIn) {
  const ClientId third = AddProcess(22);
  Attach(third, "rank-0", 1, 60000);
  Advance(milliseconds(0));
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRotated);
  EXPECT_EQ(TakeReason(loser_, lost_), WithdrawReason::kRotated) << "nobody lost a right";
  const wire::Rotate rotate = Drain();
  EXPECT_EQ(rotate.reason, RotateReason::kWhitelistFull);
  AnswerRotate(exporter_, rotate, "new-key");
  EXPECT_EQ(TakeGeneration(region_), 2U);
  Answer(exporter_, Take<wire::Admit>(exporter_, MessageType::kAdmit));
  EXPECT_EQ(Take<wire::Grant>(third, MessageType::kGrant).generation, 2U);
}

TEST_F(FullKeyTest, MoreThanAKeyHoldsGetInOneAfterAnother) {
  std::vector<ClientId> waiting;
  for (pid_t pid = 30; pid < 35; ++pid) {
    waiting.push_back(AddProcess(pid));
    Attach(waiting.back(), "rank-0", 1, 600000);
  }
  size_t granted = 0;
  for (int round = 0; round < 5 && granted < waiting.size(); ++round) {
    Advance(milliseconds(0));
    Advance(seconds(10));
    // What an answer makes it send comes behind what is there.
    std::deque<FakeShareContext::Packet>& packets = context_.sent[exporter_];
    while (!packets.empty()) {
      const FakeShareContext::Packet packet = packets.front();
      packets.pop_front();
      if (TypeOf(packet) == MessageType::kRotate) {
        wire::Rotate rotate;
        memcpy(&rotate, packet.data(), sizeof(rotate));
        AnswerRotate(exporter_, rotate, "key-" + std::to_string(round));
      } else if (TypeOf(packet) == MessageType::kAdmit) {
        wire::Admit admit;
        memcpy(&admit, packet.data(), sizeof(admit));
        Answer(exporter_, admit);
      }
    }
    granted = 0;
    for (const ClientId client : waiting) {
      granted += context_.sent[client].empty() ? 0 : 1;
    }
  }
  EXPECT_EQ(granted, waiting.size());
}

TEST_F(FullKeyTest, OfALibraryThatIsTooOldIsALimit) {
  ClientInfo info;
  info.process = {11, 1};
  info.pod_cgroup_uid = "uid-11";
  const ClientId old = registry_.AddClient(info);
  Publish(old, "old", 0, "old-key");
  Share(old, loser_, "old");
  Share(old, keeper_, "old");
  const ClientId third = AddProcess(22);
  Attach(third, "old");
  const wire::Refused refused = TakeRefused(third);
  EXPECT_EQ(refused.status, Status::kLimit);
  EXPECT_THAT(refused.reason, HasSubstr("share.maxWhitelist"));
}

TEST_F(RotationTest, WhatTheExporterClosesUnderItsImportersIsDead) {
  Withdraw(exporter_, region_, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kStillHeld);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kWithdrawn);
  auto closed = NewMessage<wire::Closed>(MessageType::kClosed, 0);
  closed.region_id = region_;
  registry_.Closed(exporter_, closed);
  EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kExporterGone);
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_EQ(registry_.grants(), 2U) << "to be closed by their importers";
}

}  // namespace
}  // namespace npu_ipc::broker
