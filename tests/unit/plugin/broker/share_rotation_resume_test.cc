// Exporters that lose their connection while their key is renewed, and come back.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::seconds;
using wire::MessageType;
using wire::Status;
using wire::WithdrawReason;

// One allocation with two names, whose exporter was asked to renew its key: an importer has lost
// its right, another keeps it.
class RotationResumeTest : public ShareRegistryTest {
 protected:
  void SetUp() override {
    context_.rotating.insert("uid-10");
    exporter_ = AddProcess(10);
    const ClientId loser = AddProcess(20);
    keeper_ = AddProcess(21);
    Publish(exporter_, "rank-0");
    Publish(exporter_, "same-block");
    Share(exporter_, loser, "rank-0");
    kept_ = Share(exporter_, keeper_, "rank-0").grant_id;
    context_.denied.insert({"uid-10", "uid-20"});
    registry_.RightsChanged("uid-20");
    EXPECT_EQ(TakeReason(keeper_, kept_), WithdrawReason::kRotated);
    Advance(seconds(10));
    rotate_ = Next<wire::Rotate>(exporter_, MessageType::kRotate);
  }
  ClientId ComeBack() {
    registry_.Disconnect(exporter_);
    Advance(seconds(29));
    return AddProcess(10);
  }
  // What the keeper waits for comes, at a higher generation.
  void ExpectRenewed(ClientId exporter) {
    Answer(exporter, Next<wire::Admit>(exporter, MessageType::kAdmit));
    const auto grant = Take<wire::Grant>(keeper_, MessageType::kGrant);
    EXPECT_EQ(grant.generation, 2U);
    EXPECT_STREQ(reinterpret_cast<const char*>(grant.handle), "new-key");
    EXPECT_TRUE(Counted("key_rotations_total{result=\"ok\"} 1"));
    EXPECT_TRUE(Counted("rotating_keys 0"));
    EXPECT_TRUE(Counted("lost_regions_total 0"));
    Advance(seconds(60));
    EXPECT_EQ(registry_.regions(), 2U);
  }

  ClientId exporter_ = 0;
  ClientId keeper_ = 0;
  GrantId kept_ = 0;
  wire::Rotate rotate_;
};

TEST_F(RotationResumeTest, OneThatHasNotRenewedItsKeyIsAskedAgain) {
  Attach(keeper_, "rank-0", 0, 60000);
  const ClientId back = ComeBack();
  EXPECT_EQ(ReclaimRegion(back, RegionClaim("rank-0", 0, 1)).generation, 1U);
  EXPECT_EQ(ReclaimRegion(back, RegionClaim("same-block", 0, 1)).generation, 1U);
  Advance(seconds(0));
  EXPECT_TRUE(NothingSent(keeper_)) << "nobody is let in before";
  const auto rotate = Take<wire::Rotate>(back, MessageType::kRotate);
  EXPECT_EQ(MillisecondsLeft(rotate), 10000U);
  AnswerRotate(back, rotate_, "late-key");  // to what it was asked before
  AnswerRotate(back, rotate, "new-key");
  ExpectRenewed(back);
}

TEST_F(RotationResumeTest, OneWhoseAnswerWasLostClaimsTheNewKey) {
  Attach(keeper_, "rank-0", 0, 60000);
  const ClientId back = ComeBack();
  EXPECT_EQ(ReclaimRegion(back, RegionClaim("rank-0", 0, 1, "new-key")).generation, 1U);
  EXPECT_EQ(Take<wire::Republished>(back, MessageType::kRepublished).generation, 2U);
  Answer(back, Take<wire::Admit>(back, MessageType::kAdmit));
  const auto grant = Take<wire::Grant>(keeper_, MessageType::kGrant);
  EXPECT_EQ(grant.generation, 2U);
  EXPECT_STREQ(reinterpret_cast<const char*>(grant.handle), "new-key");
  // Its other name, of which it knows the generation from before, too.
  EXPECT_EQ(ReclaimRegion(back, RegionClaim("same-block", 0, 1, "new-key")).generation, 1U);
  EXPECT_EQ(Take<wire::Republished>(back, MessageType::kRepublished).generation, 2U);
  Advance(seconds(60));
  EXPECT_EQ(registry_.regions(), 2U);
  EXPECT_TRUE(Counted("key_rotations_total{result=\"ok\"} 1"));
  EXPECT_TRUE(Counted("lost_regions_total 0"));
}

TEST_F(RotationResumeTest, OneThatWasNotToldTheNewGenerationIsToldItAgain) {
  AnswerRotate(exporter_, rotate_, "new-key");
  const ClientId back = ComeBack();
  EXPECT_EQ(ReclaimRegion(back, RegionClaim("rank-0", 0, 1, "new-key")).generation, 1U);
  EXPECT_EQ(Next<wire::Republished>(back, MessageType::kRepublished).generation, 2U);
  EXPECT_EQ(ReclaimRegion(back, RegionClaim("same-block", 0, 1, "new-key")).generation, 1U);
  Discard();
  Attach(keeper_, "rank-0");
  ExpectRenewed(back);
}

TEST_F(RotationResumeTest, AKeyThatTheDriverContradictsIsNoNewKey) {
  const ClientId back = ComeBack();
  context_.contradiction = "another process made it";
  registry_.ReclaimRegion(back, kGroup, RegionClaim("rank-0", 0, 1, "new-key"));
  EXPECT_EQ(TakeRefused(back).status, Status::kClaimContradicted);
  Advance(seconds(1));
  EXPECT_TRUE(Counted("key_rotations_total{result=\"exporter_gone\"} 1"));
}

TEST_F(RotationResumeTest, AnotherAllocationIsNotTheRenewedOne) {
  const ClientId back = ComeBack();
  wire::ReclaimRegion claim = RegionClaim("rank-0", 0, 1, "new-key");
  claim.allocation_bytes = 8192;
  registry_.ReclaimRegion(back, kGroup, claim);
  EXPECT_EQ(Take<wire::Published>(back, MessageType::kPublished).generation, 0U);
  EXPECT_TRUE(Counted("rotating_keys 1"));
}

}  // namespace
}  // namespace npu_ipc::broker
