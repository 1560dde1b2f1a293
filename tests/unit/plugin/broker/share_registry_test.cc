#include "plugin/broker/share_registry.h"

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

class PublishTest : public ShareRegistryTest {};

TEST_F(PublishTest, NamesARegionAndCountsItsGenerations) {
  const ClientId exporter = AddProcess(10);
  const wire::Published first = Publish(exporter, "rank-0");
  EXPECT_EQ(first.header.request_id, request_id_);
  EXPECT_EQ(first.generation, 1U);
  Withdraw(exporter, first.region_id, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn).status, Status::kOk);
  const wire::Published second = Publish(exporter, "rank-0");
  EXPECT_EQ(second.generation, 2U);
  EXPECT_NE(second.region_id, first.region_id);
  EXPECT_EQ(Publish(exporter, "rank-1").generation, 1U);
  EXPECT_TRUE(Counted("regions 2"));
}

TEST_F(PublishTest, ANameBelongsToItsLiveExporter) {
  const ClientId holder = AddProcess(10);
  const ClientId other = AddProcess(11);
  Publish(holder, "rank-0");
  registry_.Publish(other, kGroup, PublishRequest("rank-0", 0, "other-key"));
  const wire::Refused refused = TakeRefused(other);
  EXPECT_EQ(refused.status, Status::kNameTaken);
  EXPECT_THAT(refused.reason, HasSubstr("team/pod-10 (host pid 10)"));
  EXPECT_TRUE(Counted("denials_total{reason=\"name_taken\"} 1"));
  EXPECT_EQ(context_.refused.size(), 1U);
  registry_.Remove(holder);
  EXPECT_EQ(Publish(other, "rank-0", 0, "other-key").generation, 2U);
}

TEST_F(PublishTest, GroupsDoNotShareNames) {
  const ClientId exporter = AddProcess(10);
  Publish(exporter, "rank-0");
  registry_.Publish(exporter, GroupKey{"team", "other"}, PublishRequest("rank-0", 0, "k"));
  EXPECT_EQ(Take<wire::Published>(exporter, MessageType::kPublished).generation, 1U);
  registry_.Publish(exporter, GroupKey{"elsewhere", "weights"}, PublishRequest("rank-0", 0, "k"));
  EXPECT_EQ(Take<wire::Published>(exporter, MessageType::kPublished).generation, 1U);
}

TEST_F(PublishTest, NeedsTheExportersRole) {
  const ClientId importer = AddProcess(10);
  context_.no_export.insert(importer);
  registry_.Publish(importer, kGroup, PublishRequest("rank-0", 0, "key"));
  EXPECT_EQ(TakeRefused(importer).status, Status::kRoleDenied);
  EXPECT_EQ(registry_.regions(), 0U);
}

TEST_F(PublishTest, OtherHandlesAreNotSupportedYet) {
  const ClientId exporter = AddProcess(10);
  wire::Publish request = PublishRequest("rank-0", 0, "key");
  request.handle_kind = wire::HandleKind::kFabric;
  registry_.Publish(exporter, kGroup, request);
  EXPECT_EQ(TakeRefused(exporter).status, Status::kUnsupported);
}

TEST_F(PublishTest, IsHeldAgainstTheDriversRecords) {
  const ClientId exporter = AddProcess(10);
  context_.contradiction = "the driver says that process 11 made this export, not process 10";
  registry_.Publish(exporter, kGroup, PublishRequest("rank-0", 3, "key"));
  const wire::Refused refused = TakeRefused(exporter);
  EXPECT_EQ(refused.status, Status::kClaimContradicted);
  EXPECT_THAT(refused.reason, HasSubstr(*context_.contradiction));
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_EQ(context_.claims, (std::vector<FakeShareContext::Claim>{{"key", 10, 3, 4096}}));
}

class LimitedTest : public ShareRegistryTest {
 protected:
  LimitedTest()
      : ShareRegistryTest({.regions = 2, .pending_requests = 2, .grants = 3, .asked = 2}) {}
};

TEST_F(LimitedTest, RegionsOfAProcessOverAllItsConnections) {
  const ClientId first = AddProcess(10);
  const ClientId second = AddProcess(10);
  const wire::Published published = Publish(first, "a", 0, "ka");
  Publish(second, "b", 0, "kb");
  registry_.Publish(second, kGroup, PublishRequest("c", 0, "kc"));
  const wire::Refused refused = TakeRefused(second);
  EXPECT_EQ(refused.status, Status::kLimit);
  EXPECT_THAT(refused.reason, HasSubstr("client.maxRegions"));
  Withdraw(first, published.region_id, 0);
  Publish(second, "c", 0, "kc");
  Publish(AddProcess(11), "d", 0, "kd");
}

TEST_F(LimitedTest, PendingRequestsOfAProcess) {
  const ClientId importer = AddProcess(20);
  Attach(importer, "a");
  Attach(importer, "b");
  EXPECT_TRUE(NothingSent(importer));
  Attach(importer, "c");
  EXPECT_EQ(TakeRefused(importer).status, Status::kLimit);
  Advance(seconds(1));
  EXPECT_EQ(TakeRefused(importer).status, Status::kTimedOut);
  EXPECT_EQ(TakeRefused(importer).status, Status::kTimedOut);
  Attach(importer, "c");
  EXPECT_TRUE(NothingSent(importer));
}

TEST_F(LimitedTest, MappingsOfAProcess) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  Publish(exporter, "a");
  const GrantId grant = Share(exporter, importer, "a").grant_id;
  for (int i = 0; i < 2; ++i) {
    Attach(importer, "a");
    Take<wire::Grant>(importer, MessageType::kGrant);
  }
  Attach(importer, "a");
  EXPECT_EQ(TakeRefused(importer).status, Status::kLimit);
  Detach(importer, grant);
  Attach(importer, "a");
  Take<wire::Grant>(importer, MessageType::kGrant);
}

TEST_F(LimitedTest, QuestionsToAnExporterThatDoesNotAnswer) {
  const ClientId exporter = AddProcess(10);
  Publish(exporter, "a", 0, "ka");
  Publish(exporter, "b", 0, "kb");
  Attach(AddProcess(20), "a");
  Attach(AddProcess(21), "a");
  const ClientId third = AddProcess(22);
  Attach(third, "b");
  EXPECT_EQ(TakeRefused(third).status, Status::kLimit);
}

class WithdrawTest : public ShareRegistryTest {
 protected:
  void SetUp() override {
    exporter_ = AddProcess(10);
    importer_ = AddProcess(20);
    region_ = Publish(exporter_, "rank-0").region_id;
    grant_ = Share(exporter_, importer_, "rank-0").grant_id;
  }

  ClientId exporter_ = 0;
  ClientId importer_ = 0;
  RegionId region_ = 0;
  GrantId grant_ = 0;
};

TEST_F(WithdrawTest, WaitsForTheImportersToCloseFirst) {
  Withdraw(exporter_, region_, 5000);
  const auto withdrawing = Take<wire::Withdrawing>(importer_, MessageType::kWithdrawing);
  EXPECT_EQ(withdrawing.grant_id, grant_);
  EXPECT_EQ(withdrawing.reason, WithdrawReason::kWithdrawn);
  EXPECT_EQ(withdrawing.drain_milliseconds, 5000U);
  EXPECT_TRUE(NothingSent(exporter_));
  Detach(importer_, grant_);
  const auto answer = Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn);
  EXPECT_EQ(answer.header.request_id, request_id_);
  EXPECT_EQ(answer.status, Status::kOk);
  EXPECT_EQ(answer.remaining, 0U);
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(WithdrawTest, NamesWhoStillHoldsItWhenTheDrainTimeEnds) {
  Withdraw(exporter_, region_, 5000);
  Advance(milliseconds(4999));
  EXPECT_TRUE(NothingSent(exporter_));
  Advance(milliseconds(1));
  const auto answer = Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn);
  EXPECT_EQ(answer.status, Status::kStillHeld);
  EXPECT_EQ(answer.remaining, 1U);
  EXPECT_STREQ(answer.holders, "team/pod-20 (host pid 20)");

  // Asked again: told again, and done once the importer has closed.
  Take<wire::Withdrawing>(importer_, MessageType::kWithdrawing);
  Withdraw(exporter_, region_, 5000);
  Take<wire::Withdrawing>(importer_, MessageType::kWithdrawing);
  Detach(importer_, grant_);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
}

TEST_F(WithdrawTest, WithoutDrainTimeAnswersAtOnce) {
  Withdraw(exporter_, region_, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kStillHeld);
  Detach(importer_, grant_);
  EXPECT_EQ(registry_.regions(), 0U);
  Withdraw(exporter_, region_, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
}

TEST_F(WithdrawTest, FreesTheNameAtOnceAndGrantsNothingNew) {
  Withdraw(exporter_, region_, 5000);
  const ClientId late = AddProcess(21);
  Attach(late, "rank-0", 0, 0);
  EXPECT_EQ(TakeRefused(late).status, Status::kNotFound);
  EXPECT_EQ(Publish(AddProcess(11), "rank-0").generation, 2U);
}

TEST_F(WithdrawTest, AnImporterThatEndsHoldsItNoLonger) {
  Withdraw(exporter_, region_, 5000);
  registry_.Remove(importer_);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
}

TEST_F(WithdrawTest, OnlyTheExporterMay) {
  Withdraw(importer_, region_, 0);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kNotFound);
  Withdraw(exporter_, 999999, 0);
  EXPECT_EQ(TakeRefused(exporter_).status, Status::kNotFound);
}

TEST_F(WithdrawTest, ASecondOneMeanwhileIsRefused) {
  Withdraw(exporter_, region_, 5000);
  Withdraw(exporter_, region_, 1);
  EXPECT_EQ(TakeRefused(exporter_).status, Status::kLimit);
}

class LifetimeTest : public WithdrawTest {};

TEST_F(LifetimeTest, WhenTheExporterEndsImportersAreToldAndTheNameIsFree) {
  registry_.Remove(exporter_);
  const auto withdrawing = Take<wire::Withdrawing>(importer_, MessageType::kWithdrawing);
  EXPECT_EQ(withdrawing.grant_id, grant_);
  EXPECT_EQ(withdrawing.reason, WithdrawReason::kExporterGone);
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_EQ(registry_.grants(), 1U) << "its dead mapping is the importer's to close";
  Publish(AddProcess(11), "rank-0");
  Detach(importer_, grant_);
  EXPECT_EQ(registry_.grants(), 0U);
}

TEST_F(LifetimeTest, ADisconnectedExporterKeepsItsNameForTheGracePeriod) {
  registry_.Disconnect(exporter_);
  const ClientId other = AddProcess(11);
  registry_.Publish(other, kGroup, PublishRequest("rank-0", 0, "k"));
  EXPECT_EQ(TakeRefused(other).status, Status::kNameTaken);
  Advance(seconds(30));
  EXPECT_EQ(Take<wire::Withdrawing>(importer_, MessageType::kWithdrawing).reason,
            WithdrawReason::kWithdrawn);
  Publish(other, "rank-0");
  EXPECT_FALSE(context_.forgotten.contains(exporter_)) << "an importer holds its memory";
  Detach(importer_, grant_);
  EXPECT_TRUE(context_.forgotten.contains(exporter_));
}

TEST_F(LifetimeTest, ADisconnectedImporterHoldsItsMappingsUntilItEnds) {
  registry_.Disconnect(importer_);
  Advance(std::chrono::hours(1));
  EXPECT_EQ(registry_.grants(), 1U);
  Withdraw(exporter_, region_, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kStillHeld);
  registry_.Remove(importer_);
  EXPECT_EQ(registry_.grants(), 0U);
}

TEST_F(LifetimeTest, AClientThatClaimsNothingIsForgottenAtOnce) {
  const ClientId idle = AddProcess(30);
  EXPECT_EQ(registry_.ClientsOf({30, 1}), 1U);
  registry_.Disconnect(idle);
  EXPECT_TRUE(context_.forgotten.contains(idle));
  EXPECT_EQ(registry_.ClientsOf({30, 1}), 0U);
}

TEST_F(LifetimeTest, NothingIsSentToADisconnectedClient) {
  registry_.Disconnect(importer_);
  registry_.Remove(exporter_);
  EXPECT_TRUE(NothingSent(importer_));
}

}  // namespace
}  // namespace npu_ipc::broker
