// Whom an earlier broker let in, as the driver's records tell.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::seconds;
using wire::MessageType;

class LearnedWhitelistTest : public ShareRegistryTest {
 protected:
  LearnedWhitelistTest() : ShareRegistryTest({}, 1000) {}
  void SetUp() override {
    context_.rotating.insert("uid-10");
    context_.whitelist = {{{30, 1}, "uid-30"}};
    exporter_ = AddProcess(10);
  }
  // With what an earlier broker had it list.
  void ComeBack(uint32_t whitelisted = 1) {
    ReclaimRegion(exporter_, RegionClaim("rank-0", whitelisted));
    Advance(seconds(0));
  }
  void Deny() { context_.denied.insert({"uid-10", "uid-30"}); }
  bool IsAskedToRotate(wire::RotateReason reason) {
    for (int step = 0; step < 3; ++step) Advance(seconds(0));
    if (NothingSent(exporter_)) return false;
    return Take<wire::Rotate>(exporter_, MessageType::kRotate).reason == reason;
  }

  ClientId exporter_ = 0;
};

TEST_F(LearnedWhitelistTest, OneThatLostItsRightMeanwhileIsCutOff) {
  Deny();
  ComeBack();
  EXPECT_TRUE(IsAskedToRotate(wire::RotateReason::kRevoked));
}

TEST_F(LearnedWhitelistTest, OneThatLosesItsRightLaterIsCutOffThen) {
  ComeBack();
  EXPECT_TRUE(NothingSent(exporter_));
  Deny();
  registry_.RightsChanged("uid-30");
  EXPECT_TRUE(IsAskedToRotate(wire::RotateReason::kRevoked));
}

TEST_F(LearnedWhitelistTest, OneThatHasEndedDoesNotMatter) {
  ComeBack();
  context_.ended.insert(30);
  Deny();
  registry_.RightsChanged("uid-30");
  EXPECT_FALSE(IsAskedToRotate(wire::RotateReason::kRevoked));
}

TEST_F(LearnedWhitelistTest, AProcessOfNoPodTaintsTheKey) {
  context_.whitelist = {{{30, 1}, ""}};
  ComeBack();
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
  EXPECT_TRUE(IsAskedToRotate(wire::RotateReason::kTainted));
}

TEST_F(LearnedWhitelistTest, TheExportersOwnPodIsItsOwnAffair) {
  context_.whitelist = {{{30, 1}, "uid-10"}};
  context_.denied.insert({"uid-10", "uid-10"});
  ComeBack();
  EXPECT_FALSE(IsAskedToRotate(wire::RotateReason::kRevoked));
}

TEST_F(LearnedWhitelistTest, NobodyIsJudgedBeforeTheRightsAreKnown) {
  registry_.HoldNew(true);
  Deny();
  ComeBack();
  Advance(seconds(5));
  EXPECT_TRUE(NothingSent(exporter_));
  registry_.HoldNew(false);
  Advance(seconds(1));
  EXPECT_TRUE(IsAskedToRotate(wire::RotateReason::kRevoked));
}

TEST_F(LearnedWhitelistTest, AKeyThatListedNobodyIsNotReadAgain) {
  Deny();
  ComeBack(0);
  EXPECT_FALSE(IsAskedToRotate(wire::RotateReason::kRevoked));
}

TEST_F(LearnedWhitelistTest, OneThatConnectsIsAskedForAnew) {
  ComeBack();
  const ClientId importer = AddProcess(30);
  Attach(importer, "rank-0");
  Answer(exporter_, Take<wire::Admit>(exporter_, MessageType::kAdmit));
  Take<wire::Grant>(importer, MessageType::kGrant);
}

}  // namespace
}  // namespace npu_ipc::broker
