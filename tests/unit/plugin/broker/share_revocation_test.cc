// Rights that are looked at again, and taken back.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using wire::MessageType;
using wire::Status;
using wire::WithdrawReason;

class RevocationTest : public ShareRegistryTest {
 protected:
  void SetUp() override {
    exporter_ = AddProcess(10);
    importer_ = AddProcess(20);
    other_ = AddProcess(21);
    region_ = Publish(exporter_, "rank-0").region_id;
    grant_ = Share(exporter_, importer_, "rank-0").grant_id;
    other_grant_ = Share(exporter_, other_, "rank-0").grant_id;
  }

  ClientId exporter_ = 0;
  ClientId importer_ = 0;
  ClientId other_ = 0;
  RegionId region_ = 0;
  GrantId grant_ = 0;
  GrantId other_grant_ = 0;
};

TEST_F(RevocationTest, AnImporterThatLosesItsRightIsToldAndGrantedNothingNew) {
  context_.denied.insert({"uid-10", "uid-20"});
  registry_.RightsChanged("uid-20");
  EXPECT_EQ(TakeReason(importer_, grant_), WithdrawReason::kRevoked);
  EXPECT_THAT(context_.revoked[importer_], ElementsAre(Status::kNamespaceDenied));
  EXPECT_TRUE(Counted("revoked_mappings 1"));
  EXPECT_TRUE(NothingSent(other_));
  EXPECT_TRUE(NothingSent(exporter_)) << "notify: nothing is closed";
  Attach(importer_, "rank-0");
  EXPECT_EQ(TakeRefused(importer_).status, Status::kNamespaceDenied);

  registry_.RightsChanged("uid-20");
  registry_.RightsChanged("uid-10");
  EXPECT_TRUE(NothingSent(importer_)) << "told once";
  EXPECT_TRUE(Counted("revocations_total{reason=\"namespace_denied\"} 1"));
  Detach(importer_, grant_);
  EXPECT_TRUE(Counted("revoked_mappings 0"));
}

TEST_F(RevocationTest, TheOtherSidesLeaveIsLookedAtToo) {
  context_.denied.insert({"uid-10", "uid-20"});
  registry_.RightsChanged("uid-10");
  EXPECT_EQ(TakeReason(importer_, grant_), WithdrawReason::kRevoked);
  EXPECT_TRUE(NothingSent(other_));
}

TEST_F(RevocationTest, ARightThatComesBackIsGrantedAnew) {
  context_.denied.insert({"uid-10", "uid-20"});
  registry_.RightsChanged("uid-20");
  EXPECT_EQ(TakeReason(importer_, grant_), WithdrawReason::kRevoked);
  context_.denied.clear();
  registry_.RightsChanged("uid-20");
  EXPECT_TRUE(NothingSent(importer_));
  Attach(importer_, "rank-0");
  Take<wire::Grant>(importer_, MessageType::kGrant);
}

TEST_F(RevocationTest, AnExporterThatLosesItsRightLosesItsRegions) {
  context_.no_export.insert(exporter_);
  registry_.RightsChanged("uid-10");
  const auto lost = Take<wire::Republished>(exporter_, MessageType::kRepublished);
  EXPECT_EQ(lost.region_id, region_);
  EXPECT_EQ(lost.generation, 0U);
  EXPECT_EQ(TakeReason(importer_, grant_), WithdrawReason::kRevoked);
  EXPECT_EQ(TakeReason(other_, other_grant_), WithdrawReason::kRevoked);
  EXPECT_THAT(context_.revoked[exporter_], ElementsAre(Status::kRoleDenied));
  EXPECT_TRUE(Counted("revoked_mappings 2"));
  EXPECT_EQ(Publish(AddProcess(11), "rank-0").generation, 2U) << "the name is free";
  Detach(importer_, grant_);
  Detach(other_, other_grant_);
  EXPECT_TRUE(Counted("revoked_mappings 0"));
  EXPECT_TRUE(Counted("regions 1"));
  // Its program withdraws what it was told is lost.
  Withdraw(exporter_, region_, 0);
  EXPECT_EQ(Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn).status, Status::kOk);
}

TEST_F(RevocationTest, WithRotationTheKeyIsClosedBeforeItsRegionGoes) {
  context_.rotating.insert("uid-10");
  context_.no_export.insert(exporter_);
  registry_.RightsChanged("uid-10");
  EXPECT_EQ(TakeReason(importer_, grant_), WithdrawReason::kRevoked);
  EXPECT_EQ(Take<wire::Republished>(exporter_, MessageType::kRepublished).generation, 0U);
  Advance(std::chrono::seconds(10));
  const auto rotate = Take<wire::Rotate>(exporter_, MessageType::kRotate);
  auto answer = NewMessage<wire::Rotated>(MessageType::kRotated, rotate.header.request_id);
  answer.region_id = rotate.region_id;
  answer.handle[0] = 'n';
  registry_.Rotated(exporter_, answer);
  EXPECT_TRUE(NothingSent(exporter_)) << "it is not published again";
  EXPECT_EQ(registry_.regions(), 0U);
  EXPECT_TRUE(Counted("revoked_mappings 0"));
  EXPECT_EQ(registry_.grants(), 2U);
}

TEST_F(RevocationTest, APodThatIsGoneKeepsItsWayOfTakingRightsBack) {
  context_.rotating.insert("uid-10");
  registry_.RightsChanged("uid-10");
  context_.gone.insert("uid-10");
  context_.no_export.insert(exporter_);
  registry_.RightsChanged("uid-10");
  EXPECT_TRUE(Counted("rotating_keys 1"));
}

TEST_F(RevocationTest, AnAttachThatWaitsIsRefused) {
  const ClientId waiting = AddProcess(22);
  Attach(waiting, "later", 0, 60000);
  context_.no_import.insert(waiting);
  registry_.RightsChanged("uid-22");
  EXPECT_EQ(TakeRefused(waiting).status, Status::kRoleDenied);
}

TEST_F(RevocationTest, AGuestsRegionsFollowTheLeaveOfTheGroupsNamespace) {
  const ClientId guest = AddProcess(30);
  const GroupKey group{"elsewhere", "weights"};
  registry_.Publish(guest, group, PublishRequest("guest", 0, "guest-key"));
  const auto published = Take<wire::Published>(guest, MessageType::kPublished);
  registry_.GuestRightsChanged("elsewhere");
  EXPECT_TRUE(NothingSent(guest));
  context_.no_export.insert(guest);
  registry_.GuestRightsChanged("team");
  EXPECT_TRUE(NothingSent(guest));
  registry_.GuestRightsChanged("elsewhere");
  const auto lost = Take<wire::Republished>(guest, MessageType::kRepublished);
  EXPECT_EQ(lost.region_id, published.region_id);
  EXPECT_EQ(registry_.regions(), 1U);
}

TEST_F(RevocationTest, TheClustersPolicyConcernsEverybody) {
  context_.denied.insert({"uid-10", "uid-20"});
  context_.no_export.insert(exporter_);
  registry_.AllRightsChanged();
  EXPECT_EQ(TakeReason(importer_, grant_), WithdrawReason::kRevoked);
  EXPECT_EQ(TakeReason(other_, other_grant_), WithdrawReason::kRevoked);
}

TEST_F(RevocationTest, AnUnknownPodIsNobody) {
  registry_.RightsChanged("uid-999");
  EXPECT_TRUE(NothingSent(importer_));
}

class UsageTest : public ShareRegistryTest {};

TEST_F(UsageTest, CountsEachAllocationOnceForItsPod) {
  context_.max_bytes = 2 * 4096;
  const ClientId exporter = AddProcess(10);
  const RegionId first = Publish(exporter, "a", 0, "one").region_id;
  const RegionId again = Publish(exporter, "b", 0, "one").region_id;
  EXPECT_EQ(context_.usage.bytes, 4096U);
  EXPECT_EQ(context_.usage.regions, 1U);
  Publish(exporter, "c", 0, "two");
  registry_.Publish(exporter, kGroup, PublishRequest("d", 0, "three"));
  EXPECT_EQ(TakeRefused(exporter).status, Status::kQuotaExceeded);
  EXPECT_TRUE(Counted("denials_total{reason=\"quota_exceeded\"} 1"));

  Withdraw(exporter, first, 0);
  Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn);
  registry_.Publish(exporter, kGroup, PublishRequest("d", 0, "three"));
  EXPECT_EQ(TakeRefused(exporter).status, Status::kQuotaExceeded) << "its other name is there";
  Withdraw(exporter, again, 0);
  Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn);
  Publish(exporter, "d", 0, "three");
}

TEST_F(UsageTest, IsThatOfAllProcessesOfThePodAndOfTheNode) {
  const ClientId first = AddProcess(10);
  ClientInfo info;
  info.process = {11, 1};
  info.pod_cgroup_uid = "uid-10";
  const ClientId second = registry_.AddClient(info);
  Publish(first, "a", 0, "key");
  Publish(second, "b", 0, "key");
  EXPECT_EQ(context_.usage.bytes, 4096U) << "another process' key is another allocation";
  Publish(AddProcess(12), "c", 0, "key");
  EXPECT_EQ(context_.usage.bytes, 0U);
  EXPECT_EQ(context_.node_usage.bytes, 2U * 4096);
  registry_.Remove(first);
  Publish(AddProcess(13), "d", 0, "key");
  EXPECT_EQ(context_.node_usage.bytes, 2U * 4096);
  EXPECT_EQ(context_.node_usage.regions, 2U);
}

TEST_F(UsageTest, WhatIsHeldStillCounts) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  const RegionId region = Publish(exporter, "a").region_id;
  const GrantId grant = Share(exporter, importer, "a").grant_id;
  Withdraw(exporter, region, 0);
  Take<wire::Withdrawn>(exporter, MessageType::kWithdrawn);
  Publish(exporter, "b", 0, "other");
  EXPECT_EQ(context_.usage.bytes, 4096U);
  Detach(importer, grant);
  Publish(exporter, "c", 0, "third");
  EXPECT_EQ(context_.usage.bytes, 4096U) << "that of b alone";
}

TEST_F(UsageTest, OneAllocationHasOneSize) {
  const ClientId exporter = AddProcess(10);
  Publish(exporter, "a");
  wire::Publish request = PublishRequest("b", 0, "key");
  request.allocation_bytes = 1 << 30;
  registry_.Publish(exporter, kGroup, request);
  EXPECT_EQ(TakeRefused(exporter).status, Status::kMalformed);
}

}  // namespace
}  // namespace npu_ipc::broker
