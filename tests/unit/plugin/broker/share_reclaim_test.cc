// Processes that say what they hold already: to a broker that was restarted, or after a lost
// connection.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using wire::MessageType;
using wire::Status;
using wire::WithdrawReason;

constexpr uint64_t kFloor = 1000;

class ReclaimTest : public ShareRegistryTest {
 protected:
  explicit ReclaimTest(const ShareLimits& limits = {}) : ShareRegistryTest(limits, kFloor) {}

  wire::ReclaimMapping MappingClaim(const std::string& name, pid_t exporter, uint32_t device = 0) {
    auto claim = NewMessage<wire::ReclaimMapping>(MessageType::kReclaimMapping, ++request_id_);
    PutText(claim.group, kGroup.name);
    PutText(claim.name, name);
    claim.generation = 7;
    claim.allocation_bytes = 4096;
    claim.view_bytes = 4096;
    claim.exporter_host_pid = exporter;
    claim.exporter_physical_device = 0;
    claim.claimed_physical_device = device;
    claim.handle_kind = wire::HandleKind::kIpcKey;
    memcpy(claim.handle, "key", 3);
    PutText(claim.exporter_pod_uid, "uid-" + std::to_string(exporter));
    return claim;
  }
  // REQUIRES: it is not refused.
  GrantId ReclaimMapping(ClientId client, const wire::ReclaimMapping& claim) {
    registry_.ReclaimMapping(client, claim);
    return Take<wire::Reclaimed>(client, MessageType::kReclaimed).grant_id;
  }
  void HoldPeer(ClientId client, uint32_t own, uint32_t peer) {
    auto held = NewMessage<wire::PeerHeld>(MessageType::kPeerHeld, 0);
    held.own_physical_device = own;
    held.peer_physical_device = peer;
    registry_.PeerHeld(client, held);
  }
  void Close(ClientId client, RegionId region) {
    auto closed = NewMessage<wire::Closed>(MessageType::kClosed, 0);
    closed.region_id = region;
    registry_.Closed(client, closed);
  }
};

TEST_F(ReclaimTest, ARegionKeepsItsNameAndGeneration) {
  const ClientId exporter = AddProcess(10);
  EXPECT_EQ(ReclaimRegion(exporter, RegionClaim("rank-0")).generation, 7U);
  const ClientId importer = AddProcess(20);
  EXPECT_EQ(Share(exporter, importer, "rank-0").generation, 7U);
  registry_.Publish(AddProcess(11), kGroup, PublishRequest("rank-0", 0, "other"));
  EXPECT_EQ(registry_.regions(), 1U);
}

TEST_F(ReclaimTest, WhoeverWaitsForTheRegionIsServed) {
  const ClientId importer = AddProcess(20);
  Attach(importer, "rank-0");
  const ClientId exporter = AddProcess(10);
  ReclaimRegion(exporter, RegionClaim("rank-0"));
  Take<wire::Admit>(exporter, MessageType::kAdmit);
}

TEST_F(ReclaimTest, WhatIsPublishedAfterARestartIsOfAHigherGeneration) {
  const ClientId exporter = AddProcess(10);
  const RegionId region = ReclaimRegion(exporter, RegionClaim("rank-0")).region_id;
  Withdraw(exporter, region, 0);
  Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn);
  EXPECT_GT(Publish(exporter, "rank-0").generation, kFloor);
  EXPECT_GT(Publish(exporter, "of an exporter that has gone").generation, kFloor);
}

TEST_F(ReclaimTest, AGenerationThatNobodyCanHaveGivenIsRefused) {
  const ClientId exporter = AddProcess(10);
  wire::ReclaimRegion claim = RegionClaim("rank-0");
  claim.generation = kFloor + 1;
  registry_.ReclaimRegion(exporter, kGroup, claim);
  EXPECT_EQ(TakeRefused(exporter).status, Status::kClaimContradicted);
  EXPECT_EQ(registry_.regions(), 0U);
}

TEST_F(ReclaimTest, ANameThatAnotherHasHadSinceIsLost) {
  const ClientId other = AddProcess(11);
  Publish(other, "held", 0, "k1");
  const wire::Published passed = Publish(other, "passed", 0, "k2");
  Withdraw(other, passed.region_id, 0);
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  const GrantId grant = ReclaimMapping(importer, MappingClaim("held", 10));
  EXPECT_EQ(ReclaimRegion(exporter, RegionClaim("held")).generation, 0U);
  EXPECT_EQ(ReclaimRegion(exporter, RegionClaim("passed")).generation, 0U);
  // Its importers are known all the same, and keep what they have.
  EXPECT_TRUE(NothingSent(importer));
  registry_.Remove(exporter);
  EXPECT_EQ(TakeReason(importer, grant), WithdrawReason::kExporterGone);
}

TEST_F(ReclaimTest, AMappingIsAClaimThatAWithdrawWaitsForAndNames) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  const RegionId region = ReclaimRegion(exporter, RegionClaim("rank-0")).region_id;
  const GrantId grant = ReclaimMapping(importer, MappingClaim("rank-0", 10));
  EXPECT_TRUE(NothingSent(importer));
  EXPECT_TRUE(Counted("grants 1"));
  Withdraw(exporter, region, 0);
  const auto answer = Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn);
  EXPECT_EQ(answer.status, Status::kStillHeld);
  EXPECT_STREQ(answer.holders, "team/pod-20 (host pid 20)");
  EXPECT_EQ(TakeReason(importer, grant), WithdrawReason::kWithdrawn);
  Detach(importer, grant);
  EXPECT_EQ(registry_.regions(), 0U);
}

TEST_F(ReclaimTest, AMappingWaitsForItsExporterAsLongAsThatLives) {
  const ClientId importer = AddProcess(20);
  context_.processes[10] = 1;
  const GrantId grant = ReclaimMapping(importer, MappingClaim("rank-0", 10));
  Advance(seconds(600));
  EXPECT_TRUE(NothingSent(importer));
  const ClientId exporter = AddProcess(10);
  ReclaimRegion(exporter, RegionClaim("rank-0"));
  registry_.Remove(exporter);
  EXPECT_EQ(TakeReason(importer, grant), WithdrawReason::kExporterGone);
  Advance(seconds(1));
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt) << "nothing is looked at any more";
}

TEST_F(ReclaimTest, AMappingOfAnExporterThatHasEndedIsDead) {
  const ClientId importer = AddProcess(20);
  const GrantId before = ReclaimMapping(importer, MappingClaim("rank-0", 10));
  EXPECT_EQ(TakeReason(importer, before), WithdrawReason::kExporterGone);
  // Ends while it is waited for, and its pid is used again.
  context_.processes[11] = 1;
  const GrantId later = ReclaimMapping(importer, MappingClaim("rank-1", 11));
  EXPECT_TRUE(NothingSent(importer));
  context_.processes[11] = 2;
  Advance(seconds(1));
  EXPECT_EQ(TakeReason(importer, later), WithdrawReason::kExporterGone);
  EXPECT_EQ(registry_.grants(), 2U) << "until they are closed";
  Detach(importer, before);
  Detach(importer, later);
  EXPECT_EQ(registry_.grants(), 0U);
}

TEST_F(ReclaimTest, AMappingThatItsExporterDoesNotConfirmIsDeadAfterAWhile) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  ReclaimRegion(exporter, RegionClaim("rank-0"));
  wire::ReclaimMapping claim = MappingClaim("rank-0", 10);
  claim.handle[0] = 'X';  // a key that was closed meanwhile, or was never had
  const GrantId grant = ReclaimMapping(importer, claim);
  Advance(seconds(29));
  registry_.ReclaimDone(exporter);
  EXPECT_TRUE(NothingSent(importer));
  Advance(seconds(2));
  EXPECT_EQ(TakeReason(importer, grant), WithdrawReason::kExporterGone);
}

TEST_F(ReclaimTest, NothingIsProvenByADifferentView) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  const RegionId region = ReclaimRegion(exporter, RegionClaim("rank-0")).region_id;
  for (int i = 0; i < 4; ++i) {
    wire::ReclaimMapping claim = MappingClaim("rank-0", 10);
    if (i == 0) claim.allocation_bytes = 8192;
    if (i == 1) claim.view_bytes = 1;
    if (i == 2) claim.exporter_physical_device = 3;
    if (i == 3) PutText(claim.name, "rank-1");
    ReclaimMapping(importer, claim);
  }
  Withdraw(exporter, region, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn).status, Status::kOk)
      << "none of them holds the region";
  EXPECT_TRUE(NothingSent(importer));
}

TEST_F(ReclaimTest, WhatIsNotAllowedAnyMoreIsKnownAndRevoked) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  const RegionId region = ReclaimRegion(exporter, RegionClaim("rank-0")).region_id;
  context_.denied.insert({"uid-10", "uid-20"});
  const GrantId grant = ReclaimMapping(importer, MappingClaim("rank-0", 10));
  EXPECT_EQ(TakeReason(importer, grant), WithdrawReason::kRevoked);
  Withdraw(exporter, region, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn).remaining, 1U);
}

TEST_F(ReclaimTest, ARegionThatMayNotBeSharedAnyMoreHasNoName) {
  const ClientId exporter = AddProcess(10);
  const ClientId early = AddProcess(20);
  const ClientId late = AddProcess(21);
  const GrantId first = ReclaimMapping(early, MappingClaim("rank-0", 10));
  context_.no_export.insert(exporter);
  EXPECT_EQ(ReclaimRegion(exporter, RegionClaim("rank-0")).generation, 0U);
  EXPECT_EQ(TakeReason(early, first), WithdrawReason::kRevoked);
  const GrantId second = ReclaimMapping(late, MappingClaim("rank-0", 10));
  EXPECT_EQ(TakeReason(late, second), WithdrawReason::kRevoked);
  Attach(AddProcess(22), "rank-0");
  EXPECT_TRUE(NothingSent(exporter)) << "nobody is let in";
}

TEST_F(ReclaimTest, AWithdrawGivesImportersOfAnEarlierBrokerTimeToComeBack) {
  const ClientId exporter = AddProcess(10);
  const RegionId region = ReclaimRegion(exporter, RegionClaim("rank-0", 3)).region_id;
  Withdraw(exporter, region, 0);
  const auto now = Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn);
  EXPECT_EQ(now.status, Status::kStillHeld);
  EXPECT_THAT(now.holders, HasSubstr("restarted"));
  Withdraw(exporter, region, 60000);
  Advance(milliseconds(4999));
  EXPECT_TRUE(NothingSent(exporter));
  Advance(milliseconds(1));
  EXPECT_EQ(Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn).status, Status::kOk);
  EXPECT_EQ(registry_.regions(), 0U);
}

TEST_F(ReclaimTest, ARegionThatWasWithdrawnClaimsNoName) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  wire::ReclaimRegion claim = RegionClaim("rank-0", 1);
  claim.withdrawn = 1;
  EXPECT_EQ(ReclaimRegion(exporter, claim).generation, 0U);
  Publish(exporter, "rank-0", 0, "another");
  const GrantId grant = ReclaimMapping(importer, MappingClaim("rank-0", 10));
  EXPECT_EQ(TakeReason(importer, grant), WithdrawReason::kWithdrawn);
}

TEST_F(ReclaimTest, AClosedExportIsDeadForItsImporters) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  const RegionId region = Publish(exporter, "rank-0").region_id;
  const GrantId grant = Share(exporter, importer, "rank-0").grant_id;
  Close(importer, region);
  EXPECT_TRUE(NothingSent(importer)) << "it is not the importer's to close";
  Close(exporter, region);
  EXPECT_EQ(TakeReason(importer, grant), WithdrawReason::kExporterGone);
  EXPECT_EQ(registry_.regions(), 0U);
  Detach(importer, grant);
  EXPECT_EQ(registry_.grants(), 0U);
}

using PeerReclaimTest = ReclaimTest;

TEST_F(PeerReclaimTest, PairsThatNothingUsesAreReleased) {
  const ClientId importer = AddProcess(20);
  context_.processes[10] = 1;
  HoldPeer(importer, 1, 0);
  HoldPeer(importer, 1, 5);
  const GrantId grant = ReclaimMapping(importer, MappingClaim("rank-0", 10, /*device=*/1));
  registry_.ReclaimDone(importer);
  auto release = Take<wire::PeerRelease>(importer, MessageType::kPeerRelease);
  EXPECT_EQ(release.own_physical_device, 1U);
  EXPECT_EQ(release.peer_physical_device, 5U);
  EXPECT_TRUE(NothingSent(importer));
  Detach(importer, grant);
  release = Take<wire::PeerRelease>(importer, MessageType::kPeerRelease);
  EXPECT_EQ(release.peer_physical_device, 0U);
}

TEST_F(PeerReclaimTest, AnExportersPairsWaitForItsImporters) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  HoldPeer(exporter, 0, 1);
  HoldPeer(exporter, 0, 2);
  ReclaimRegion(exporter, RegionClaim("rank-0"));
  registry_.ReclaimDone(exporter);
  EXPECT_TRUE(NothingSent(exporter));
  ReclaimMapping(importer, MappingClaim("rank-0", 10, /*device=*/1));
  Advance(seconds(30));
  const auto release = Take<wire::PeerRelease>(exporter, MessageType::kPeerRelease);
  EXPECT_EQ(release.own_physical_device, 0U);
  EXPECT_EQ(release.peer_physical_device, 2U);
  EXPECT_TRUE(NothingSent(exporter));
}

TEST_F(PeerReclaimTest, ReclaimedPairsCountAgainstTheDriversLimit) {
  const ClientId exporter = AddProcess(10);
  ReclaimRegion(exporter, RegionClaim("rank-0"));
  for (pid_t pid = 100; pid < 132; ++pid) {
    ReclaimMapping(AddProcess(pid), MappingClaim("rank-0", 10, /*device=*/1));
  }
  const ClientId one_more = AddProcess(200);
  Attach(one_more, "rank-0", /*device=*/1);
  EXPECT_EQ(TakeRefused(one_more).status, Status::kPeerLimit);
}

// The connection was lost, not the broker.
class TakeOverTest : public ReclaimTest {
 protected:
  void SetUp() override {
    exporter_ = AddProcess(10);
    importer_ = AddProcess(20);
    published_ = Publish(exporter_, "rank-0");
    grant_ = Share(exporter_, importer_, "rank-0").grant_id;
  }
  wire::ReclaimRegion Claim() {
    wire::ReclaimRegion claim = RegionClaim("rank-0");
    claim.generation = published_.generation;
    return claim;
  }

  ClientId exporter_ = 0;
  ClientId importer_ = 0;
  wire::Published published_;
  GrantId grant_ = 0;
};

TEST_F(TakeOverTest, ARegionIsTakenOverWithItsGrantsAndListings) {
  registry_.Disconnect(exporter_);
  const ClientId again = AddProcess(10);
  const wire::Published taken = ReclaimRegion(again, Claim());
  EXPECT_EQ(taken.region_id, published_.region_id);
  EXPECT_EQ(taken.generation, published_.generation);
  EXPECT_TRUE(context_.forgotten.contains(exporter_));
  Advance(seconds(60));
  EXPECT_TRUE(NothingSent(importer_)) << "the grace period ended with the connection's return";
  Attach(importer_, "rank-0");
  Take<wire::Grant>(importer_, MessageType::kGrant);  // it is on the list already
  Withdraw(again, published_.region_id, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(again, MessageType::kWithdrawn).remaining, 2U);
}

TEST_F(TakeOverTest, AnExporterThatWasAskedIsAskedAgain) {
  const ClientId waiting = AddProcess(21);
  Attach(waiting, "rank-0");
  Take<wire::Admit>(exporter_, MessageType::kAdmit);
  registry_.Disconnect(exporter_);
  const ClientId again = AddProcess(10);
  registry_.ReclaimRegion(again, kGroup, Claim());
  Answer(again, Take<wire::Admit>(again, MessageType::kAdmit));
  Take<wire::Grant>(waiting, MessageType::kGrant);
}

TEST_F(TakeOverTest, AMappingIsTakenOver) {
  registry_.Disconnect(importer_);
  const ClientId again = AddProcess(20);
  EXPECT_EQ(ReclaimMapping(again, MappingClaim("rank-0", 10)), grant_);
  EXPECT_EQ(registry_.grants(), 1U);
  EXPECT_TRUE(context_.forgotten.contains(importer_));
  // One more than it had is a claim of its own.
  EXPECT_NE(ReclaimMapping(again, MappingClaim("rank-0", 10)), grant_);
  Withdraw(exporter_, published_.region_id, 0);
  EXPECT_EQ(TakeReason(again, grant_), WithdrawReason::kWithdrawn);
}

TEST_F(TakeOverTest, WhatIsNotClaimedAgainWasClosed) {
  registry_.Disconnect(importer_);
  const ClientId again = AddProcess(20);
  registry_.ReclaimDone(again);
  EXPECT_EQ(registry_.grants(), 1U) << "another connection may claim it yet";
  Advance(seconds(30));
  EXPECT_EQ(registry_.grants(), 0U);
}

TEST_F(TakeOverTest, AnotherProcessTakesNothingOver) {
  registry_.Disconnect(exporter_);
  registry_.Disconnect(importer_);
  const ClientId stranger = AddProcess(11);
  registry_.ReclaimRegion(stranger, kGroup, Claim());
  EXPECT_EQ(Take<wire::Published>(stranger, MessageType::kPublished).generation, 0U);
  EXPECT_NE(ReclaimMapping(stranger, MappingClaim("rank-0", 10)), grant_);
}

class HostileReclaimTest : public ReclaimTest {
 protected:
  HostileReclaimTest() : ReclaimTest({.regions = 3, .grants = 3, .peers_held = 2}) {}
};

class HostilePodTest : public ReclaimTest {
 protected:
  HostilePodTest() : ReclaimTest({.pod = {.regions = 2, .grants = 2}}) { pod_uid_ = "uid-of-all"; }
};

TEST_F(HostileReclaimTest, ClaimsAreLimited) {
  const ClientId client = AddProcess(10);
  for (int i = 0; i < 3; ++i) ReclaimRegion(client, RegionClaim("r"));
  registry_.ReclaimRegion(client, kGroup, RegionClaim("r"));
  EXPECT_EQ(TakeRefused(client).status, Status::kLimit);
  context_.processes[11] = 1;
  for (int i = 0; i < 3; ++i) ReclaimMapping(client, MappingClaim("r", 11));
  registry_.ReclaimMapping(client, MappingClaim("r", 11));
  EXPECT_EQ(TakeRefused(client).status, Status::kLimit);
  for (uint32_t peer = 1; peer < 10; ++peer) HoldPeer(client, 7, peer);
  registry_.ReclaimDone(client);
  for (uint32_t peer = 1; peer < 3; ++peer) {
    EXPECT_EQ(Take<wire::PeerRelease>(client, MessageType::kPeerRelease).peer_physical_device,
              peer);
  }
  EXPECT_TRUE(NothingSent(client));
}

// Each process claims less than it may.
TEST_F(HostilePodTest, ClaimsAreLimitedForAllOfItsProcesses) {
  for (pid_t pid = 10; pid < 12; ++pid) {
    const ClientId client = AddProcess(pid);
    ReclaimRegion(client, RegionClaim("r"));
    context_.processes[11] = 1;
    ReclaimMapping(client, MappingClaim("r", 11));
  }
  const ClientId last = AddProcess(12);
  registry_.ReclaimRegion(last, kGroup, RegionClaim("r"));
  EXPECT_EQ(TakeRefused(last).status, Status::kLimit);
  registry_.ReclaimMapping(last, MappingClaim("r", 11));
  EXPECT_EQ(TakeRefused(last).status, Status::kLimit);
}

TEST_F(HostileReclaimTest, AMappingThatTheDriverDoesNotHaveIsRefused) {
  const ClientId exporter = AddProcess(10);
  ReclaimRegion(exporter, RegionClaim("rank-0"));
  context_.mapped_by = {20};
  ReclaimMapping(AddProcess(20), MappingClaim("rank-0", 10));
  const ClientId liar = AddProcess(21);
  registry_.ReclaimMapping(liar, MappingClaim("rank-0", 10));
  EXPECT_EQ(TakeRefused(liar).status, Status::kClaimContradicted);
  EXPECT_TRUE(Counted("denials_total{reason=\"claim_contradicted\"} 1"));
  EXPECT_EQ(registry_.grants(), 1U);
}

TEST_F(HostileReclaimTest, NothingIsClaimedAfterReclaimDone) {
  const ClientId client = AddProcess(10);
  registry_.ReclaimDone(client);
  registry_.ReclaimRegion(client, kGroup, RegionClaim("r"));
  EXPECT_EQ(TakeRefused(client).status, Status::kMalformed);
  registry_.ReclaimMapping(client, MappingClaim("r", 11));
  EXPECT_EQ(TakeRefused(client).status, Status::kMalformed);
}

TEST_F(HostileReclaimTest, AClaimListsNobody) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  ReclaimRegion(exporter, RegionClaim("rank-0"));
  ReclaimMapping(importer, MappingClaim("rank-0", 10));
  Attach(importer, "rank-0");
  Take<wire::Admit>(exporter, MessageType::kAdmit);  // asked, as if it had claimed nothing
}

}  // namespace
}  // namespace npu_ipc::broker
