#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using wire::MessageType;
using wire::Status;

class AttachTest : public ShareRegistryTest {
 protected:
  void SetUp() override {
    exporter_ = AddProcess(10);
    importer_ = AddProcess(20);
  }
  wire::Admit TakeAdmit(ClientId exporter) {
    return Take<wire::Admit>(exporter, MessageType::kAdmit);
  }
  wire::Grant TakeGrant(ClientId importer) {
    return Take<wire::Grant>(importer, MessageType::kGrant);
  }

  ClientId exporter_ = 0;
  ClientId importer_ = 0;
};

TEST_F(AttachTest, AsksTheExporterAndThenGrants) {
  wire::Publish publish = PublishRequest("rank-0", 3, "the-key");
  publish.allocation_bytes = 1 << 21;
  publish.view_offset = 4096;
  publish.view_bytes = 8192;
  registry_.Publish(exporter_, kGroup, publish);
  const auto published = Take<wire::Published>(exporter_, MessageType::kPublished);

  const uint64_t request_id = Attach(importer_, "rank-0", 3);
  const wire::Admit admit = TakeAdmit(exporter_);
  EXPECT_EQ(admit.region_id, published.region_id);
  EXPECT_EQ(admit.importer_host_pid, 20);
  EXPECT_EQ(admit.importer_physical_device, 3U);
  EXPECT_EQ(MillisecondsLeft(admit), 1000U) << "no longer than the importer waits";
  EXPECT_EQ(admit.enable_peer_access, 0U);
  EXPECT_TRUE(NothingSent(importer_)) << "no key before it is on the whitelist";

  Answer(exporter_, admit);
  const wire::Grant grant = TakeGrant(importer_);
  EXPECT_EQ(grant.header.request_id, request_id);
  EXPECT_EQ(grant.region_id, published.region_id);
  EXPECT_EQ(grant.generation, 1U);
  EXPECT_EQ(grant.allocation_bytes, 1U << 21);
  EXPECT_EQ(grant.view_offset, 4096U);
  EXPECT_EQ(grant.view_bytes, 8192U);
  EXPECT_EQ(grant.exporter_physical_device, 3U);
  EXPECT_EQ(grant.exporter_host_pid, 10);
  EXPECT_STREQ(reinterpret_cast<const char*>(grant.handle), "the-key");
  EXPECT_STREQ(grant.exporter_namespace, "team");
  EXPECT_STREQ(grant.exporter_pod, "pod-10");
  EXPECT_STREQ(grant.exporter_pod_uid, "uid-10");
  EXPECT_TRUE(Counted("attaches_total{result=\"granted\"} 1"));
  EXPECT_TRUE(Counted("whitelist_calls_total{result=\"ok\"} 1"));
  EXPECT_TRUE(Counted("grants 1"));
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(AttachTest, AnExporterOfAnEarlierMinorVersionCountsTheDeadlineFromItsArrival) {
  speaks_minor_ = 1;
  const ClientId older = AddProcess(11);
  Publish(older, "rank-0");
  Attach(importer_, "rank-0");
  const wire::Admit admit = TakeAdmit(older);
  EXPECT_FALSE(wire::DeadlineIsInstant(admit.header));
  EXPECT_EQ(admit.deadline_milliseconds, 1000U);
}

TEST_F(AttachTest, WaitsForARegionThatIsPublishedLater) {
  Attach(importer_, "rank-0");
  Attach(AddProcess(21), "rank-0");
  EXPECT_TRUE(NothingSent(importer_));
  Publish(exporter_, "rank-0");
  const wire::Admit admit = TakeAdmit(exporter_);
  EXPECT_EQ(admit.importer_host_pid, 20);
  EXPECT_EQ(TakeAdmit(exporter_).importer_host_pid, 21);
  Answer(exporter_, admit);
  TakeGrant(importer_);
}

TEST_F(AttachTest, EndsItsWaitWhenNobodyPublishes) {
  Attach(importer_, "rank-0", 0, 1500);
  Advance(milliseconds(1499));
  EXPECT_TRUE(NothingSent(importer_));
  Advance(milliseconds(1));
  const wire::Refused refused = TakeRefused(importer_);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_THAT(refused.reason, HasSubstr("no exporter on this node published region 'rank-0' of "
                                        "group team/weights within 1500 ms"));
  EXPECT_TRUE(Counted("attaches_total{result=\"timed_out\"} 1"));
  Publish(exporter_, "rank-0");
  EXPECT_TRUE(NothingSent(exporter_)) << "nobody waits any more";
}

TEST_F(AttachTest, WithoutAWaitAnswersAtOnce) {
  Attach(importer_, "rank-0", 0, 0);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kNotFound);
}

TEST_F(AttachTest, WaitsWithoutEndWhenAskedTo) {
  Attach(importer_, "rank-0", 0, UINT32_MAX);
  Advance(std::chrono::hours(24 * 365));
  EXPECT_TRUE(NothingSent(importer_));
  Publish(exporter_, "rank-0");
  EXPECT_EQ(MillisecondsLeft(TakeAdmit(exporter_)), 5000U);
}

TEST_F(AttachTest, NeedsTheImportersRole) {
  context_.no_import.insert(importer_);
  Attach(importer_, "rank-0");
  EXPECT_EQ(TakeRefused(importer_).status, Status::kRoleDenied) << "without waiting for it";
  Publish(exporter_, "rank-0");
  EXPECT_TRUE(NothingSent(exporter_));
}

TEST_F(AttachTest, LooksAtTheRightsAgainWhenTheRegionComesAndWhenItIsWhitelisted) {
  Attach(importer_, "rank-0");
  const ClientId other = AddProcess(21);
  Attach(other, "rank-0");
  context_.no_import.insert(importer_);
  Publish(exporter_, "rank-0");
  EXPECT_EQ(TakeRefused(importer_).status, Status::kRoleDenied);
  const wire::Admit admit = TakeAdmit(exporter_);
  EXPECT_EQ(admit.importer_host_pid, 21);
  context_.no_import.insert(other);
  Answer(exporter_, admit);
  EXPECT_EQ(TakeRefused(other).status, Status::kRoleDenied);
  EXPECT_EQ(registry_.grants(), 0U);
}

TEST_F(AttachTest, AnExporterThatMayNoLongerShareIsNotAsked) {
  Publish(exporter_, "rank-0");
  context_.no_export.insert(exporter_);
  Attach(importer_, "rank-0");
  EXPECT_EQ(TakeRefused(importer_).status, Status::kNotInGroup);
  EXPECT_TRUE(NothingSent(exporter_));
}

TEST_F(AttachTest, ItsOwnRegionIsRefused) {
  Publish(exporter_, "rank-0");
  Attach(AddProcess(10), "rank-0");
  Attach(exporter_, "rank-0");
  EXPECT_EQ(TakeRefused(exporter_).status, Status::kUnsupported);
}

TEST_F(AttachTest, PassesOnWhyTheExporterCouldNot) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0");
  Answer(exporter_, TakeAdmit(exporter_), Status::kExporterFailed, 507899);
  const wire::Refused refused = TakeRefused(importer_);
  EXPECT_EQ(refused.status, Status::kExporterFailed);
  EXPECT_EQ(refused.vendor_code, 507899);
  EXPECT_THAT(refused.reason, HasSubstr("team/pod-10"));

  Attach(importer_, "rank-0");
  Answer(exporter_, TakeAdmit(exporter_), Status::kPeerLimit);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kPeerLimit);
  Attach(importer_, "rank-0");
  Answer(exporter_, TakeAdmit(exporter_), Status::kNameTaken);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kExporterFailed);
}

TEST_F(AttachTest, AsksAgainWhileTheImporterWaits) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0", 0, 7000);
  EXPECT_EQ(MillisecondsLeft(TakeAdmit(exporter_)), 5000U);
  Advance(seconds(5));
  const wire::Admit again = TakeAdmit(exporter_);
  EXPECT_EQ(MillisecondsLeft(again), 2000U);
  EXPECT_TRUE(Counted("whitelist_calls_total{result=\"timed_out\"} 1"));
  Advance(seconds(2));
  const wire::Refused refused = TakeRefused(importer_);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_THAT(refused.reason, HasSubstr("team/pod-10 (host pid 10), did not whitelist"));
  // A late answer grants nothing, and is known the next time.
  Answer(exporter_, again);
  EXPECT_TRUE(NothingSent(importer_));
  Attach(importer_, "rank-0");
  TakeGrant(importer_);
  EXPECT_TRUE(NothingSent(exporter_));
}

TEST_F(AttachTest, AListedProcessIsGrantedWithoutAskingAgain) {
  Publish(exporter_, "rank-0");
  Publish(exporter_, "a-view-of-the-same-key");
  const GrantId grant = Share(exporter_, importer_, "rank-0").grant_id;
  Detach(importer_, grant);
  Attach(importer_, "rank-0");
  TakeGrant(importer_);
  Attach(importer_, "a-view-of-the-same-key");
  TakeGrant(importer_);
  EXPECT_TRUE(NothingSent(exporter_));
}

TEST_F(AttachTest, AnotherKeyIsAskedForAnew) {
  Publish(exporter_, "rank-0", 0, "key-0");
  Publish(exporter_, "rank-1", 0, "key-1");
  Share(exporter_, importer_, "rank-0");
  Attach(importer_, "rank-1");
  TakeAdmit(exporter_);
}

TEST_F(AttachTest, AReusedPidIsAskedForAnew) {
  Publish(exporter_, "rank-0");
  Share(exporter_, importer_, "rank-0");
  registry_.Remove(importer_);
  const ClientId reused = AddProcess(20, 2);
  Attach(reused, "rank-0");
  EXPECT_EQ(TakeAdmit(exporter_).importer_host_pid, 20);
  EXPECT_TRUE(NothingSent(reused));
}

TEST_F(AttachTest, AnImporterThatEndedBeforeItWasListedTaintsTheKey) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0");
  context_.dead.insert(importer_);
  const wire::Admit admit = TakeAdmit(exporter_);
  Answer(exporter_, admit);
  EXPECT_EQ(registry_.grants(), 0U);
  EXPECT_TRUE(Counted("tainted_keys_total 1"));

  // Its pid lives again as another process: not on the list by mistake.
  registry_.Remove(importer_);
  context_.sent.clear();
  const ClientId reused = AddProcess(20, 2);
  Attach(reused, "rank-0");
  TakeAdmit(exporter_);
  EXPECT_TRUE(NothingSent(reused));
}

TEST_F(AttachTest, AnAnswerForAnImporterThatIsGoneTaintsTheKey) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0");
  const wire::Admit admit = TakeAdmit(exporter_);
  registry_.Remove(importer_);
  EXPECT_EQ(registry_.waiting_attaches(), 0U);
  Answer(exporter_, admit);
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
  EXPECT_TRUE(Counted("attaches_total{result=\"importer_gone\"} 1"));
}

TEST_F(AttachTest, WaitsOnForTheNextExporterWhenOneEnds) {
  Publish(exporter_, "rank-0", 0, "old-key");
  Attach(importer_, "rank-0");
  TakeAdmit(exporter_);
  registry_.Remove(exporter_);
  EXPECT_TRUE(NothingSent(importer_));
  const ClientId next = AddProcess(11);
  Publish(next, "rank-0", 0, "new-key");
  Answer(next, TakeAdmit(next));
  const wire::Grant grant = TakeGrant(importer_);
  EXPECT_EQ(grant.generation, 2U);
  EXPECT_STREQ(reinterpret_cast<const char*>(grant.handle), "new-key");
}

TEST_F(AttachTest, SaysThatTheExporterEndedWhenNoOtherComes) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0");
  registry_.Remove(exporter_);
  Advance(seconds(1));
  EXPECT_EQ(TakeRefused(importer_).status, Status::kExporterGone);
}

TEST_F(AttachTest, WaitsForAnExporterThatLostItsConnection) {
  Publish(exporter_, "rank-0");
  registry_.Disconnect(exporter_);
  Attach(importer_, "rank-0");
  EXPECT_TRUE(NothingSent(importer_));
  Advance(seconds(1));
  const wire::Refused refused = TakeRefused(importer_);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_THAT(refused.reason, HasSubstr("lost its connection"));
}

TEST_F(AttachTest, AFailedImportGivesTheGrantBack) {
  Publish(exporter_, "rank-0");
  const GrantId grant = Share(exporter_, importer_, "rank-0").grant_id;
  auto imported = NewMessage<wire::Imported>(MessageType::kImported, 0);
  imported.grant_id = grant;
  imported.status = Status::kOk;
  registry_.Imported(importer_, imported);
  EXPECT_EQ(registry_.grants(), 1U);
  imported.status = Status::kInternal;
  registry_.Imported(importer_, imported);
  EXPECT_EQ(registry_.grants(), 0U);
}

TEST_F(AttachTest, GrantsAreTheirImportersAlone) {
  Publish(exporter_, "rank-0");
  const GrantId grant = Share(exporter_, importer_, "rank-0").grant_id;
  Detach(AddProcess(21), grant);
  EXPECT_EQ(registry_.grants(), 1U);
}

TEST_F(AttachTest, AnAnswerForAnothersRegionChangesNothing) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0");
  const wire::Admit admit = TakeAdmit(exporter_);
  const ClientId impostor = AddProcess(12);
  Answer(impostor, admit);
  EXPECT_TRUE(NothingSent(importer_));
  Answer(exporter_, admit);
  TakeGrant(importer_);
}

class PeerAccessOfSharesTest : public AttachTest {};

TEST_F(PeerAccessOfSharesTest, IsEnabledOnBothSidesAndEndsWithTheLastUser) {
  Publish(exporter_, "a", 0, "key-a");
  Publish(exporter_, "b", 0, "key-b");
  Attach(importer_, "a", 1);
  const wire::Admit admit = TakeAdmit(exporter_);
  EXPECT_EQ(admit.enable_peer_access, 1U);
  Answer(exporter_, admit);
  const wire::Grant first = TakeGrant(importer_);
  EXPECT_EQ(first.enable_peer_access, 1U);
  const wire::Grant second = Share(exporter_, importer_, "b", 1);

  Detach(importer_, first.grant_id);
  EXPECT_TRUE(NothingSent(importer_));
  EXPECT_TRUE(NothingSent(exporter_));
  Detach(importer_, second.grant_id);
  const auto importers = Take<wire::PeerRelease>(importer_, MessageType::kPeerRelease);
  EXPECT_EQ(importers.own_physical_device, 1U);
  EXPECT_EQ(importers.peer_physical_device, 0U);
  const auto exporters = Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  EXPECT_EQ(exporters.own_physical_device, 0U);
  EXPECT_EQ(exporters.peer_physical_device, 1U);
}

TEST_F(PeerAccessOfSharesTest, IsAskedForAgainOnceItWasReleased) {
  Publish(exporter_, "a");
  Detach(importer_, Share(exporter_, importer_, "a", 1).grant_id);
  Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  Attach(importer_, "a", 1);
  EXPECT_EQ(TakeAdmit(exporter_).enable_peer_access, 1U);
}

TEST_F(PeerAccessOfSharesTest, TheExportersIsReleasedWhenItsAnswerNeverComes) {
  Publish(exporter_, "a");
  Attach(importer_, "a", 1);
  TakeAdmit(exporter_);
  Advance(seconds(1));
  Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  TakeRefused(importer_);
  EXPECT_TRUE(NothingSent(importer_));
}

// The exporter had the request under way when it was told to release the pair, and enabled it
// after.
TEST_F(PeerAccessOfSharesTest, TheExportersIsReleasedAgainWhenItsAnswerComesTooLate) {
  Publish(exporter_, "a");
  Attach(importer_, "a", 1);
  const wire::Admit admit = TakeAdmit(exporter_);
  Advance(seconds(1));
  Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  Answer(exporter_, admit);
  const auto release = Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  EXPECT_EQ(release.own_physical_device, 0U);
  EXPECT_EQ(release.peer_physical_device, 1U);
}

TEST_F(PeerAccessOfSharesTest, ALateAnswerTakesNothingFromAShareOfThatPair) {
  Publish(exporter_, "a");
  Attach(importer_, "a", 1);
  const wire::Admit late = TakeAdmit(exporter_);
  Advance(seconds(1));
  Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  Share(exporter_, AddProcess(300), "a", 1);
  Answer(exporter_, late);
  EXPECT_TRUE(NothingSent(exporter_));
}

TEST_F(PeerAccessOfSharesTest, ALateAnswerOfOneDeviceReleasesNothing) {
  Publish(exporter_, "a");
  Attach(importer_, "a", 0);
  const wire::Admit late = TakeAdmit(exporter_);
  Advance(seconds(1));
  Answer(exporter_, late);
  EXPECT_TRUE(NothingSent(exporter_));
}

TEST_F(PeerAccessOfSharesTest, TheExportersIsReleasedWhenTheImporterEnds) {
  Publish(exporter_, "a");
  Share(exporter_, importer_, "a", 1);
  registry_.Remove(importer_);
  Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
}

TEST_F(PeerAccessOfSharesTest, TheImportersLastsUntilItHasClosedADeadMapping) {
  Publish(exporter_, "a");
  const GrantId grant = Share(exporter_, importer_, "a", 1).grant_id;
  registry_.Remove(exporter_);
  Take<wire::Withdrawing>(importer_, MessageType::kWithdrawing);
  EXPECT_TRUE(NothingSent(importer_));
  Detach(importer_, grant);
  Take<wire::PeerRelease>(importer_, MessageType::kPeerRelease);
}

TEST_F(PeerAccessOfSharesTest, IsLimitedToThirtyTwoProcessesOfADirection) {
  for (pid_t pid = 100; pid < 132; ++pid) {
    const ClientId exporter = AddProcess(pid);
    Publish(exporter, "from-" + std::to_string(pid), 0, "key-" + std::to_string(pid));
    Share(exporter, importer_, "from-" + std::to_string(pid), 1);
  }
  Publish(exporter_, "one-more");
  Attach(importer_, "one-more", 1);
  EXPECT_EQ(TakeRefused(importer_).status, Status::kPeerLimit);
  Attach(importer_, "one-more", 0);
  TakeAdmit(exporter_);
}

TEST_F(AttachTest, DevicesThatCannotReachEachOtherAreRefusedAtOnce) {
  context_.node.links = {{1, 5, hal::LinkType::kSystem}};
  Publish(exporter_, "rank-0", 5);
  Attach(importer_, "rank-0", 1);
  const wire::Refused refused = TakeRefused(importer_);
  EXPECT_EQ(refused.status, Status::kUnreachable);
  EXPECT_THAT(refused.reason, HasSubstr("device 5 of the exporter and device 1"));
  EXPECT_THAT(refused.reason, HasSubstr(hal::LinkTypeName(hal::LinkType::kSystem)));
  EXPECT_TRUE(NothingSent(exporter_)) << "the exporter was asked";
}

TEST_F(AttachTest, DevicesWithALinkForItAreLetThrough) {
  context_.node.links = {{1, 5, hal::LinkType::kHccsSwitch}};
  Publish(exporter_, "rank-0", 5);
  Attach(importer_, "rank-0", 1);
  EXPECT_EQ(TakeAdmit(exporter_).enable_peer_access, 1U);
}

TEST_F(AttachTest, TheDriversRefusalSaysWhetherTheTopologyIsKnown) {
  Publish(exporter_, "rank-0", 5);
  Attach(importer_, "rank-0", 1);
  Answer(exporter_, TakeAdmit(exporter_), Status::kUnreachable, 507899);
  const wire::Refused unknown = TakeRefused(importer_);
  EXPECT_EQ(unknown.status, Status::kUnreachable);
  EXPECT_THAT(unknown.reason, HasSubstr("topology unknown"));
  EXPECT_THAT(unknown.reason, HasSubstr("devices 5 and 1"));

  context_.node.links = {{1, 5, hal::LinkType::kHccs}};
  context_.sent[exporter_].clear();  // that it may disable peer access
  Attach(importer_, "rank-0", 1);
  Answer(exporter_, TakeAdmit(exporter_), Status::kUnreachable, 507899);
  EXPECT_THAT(std::string(TakeRefused(importer_).reason), Not(HasSubstr("topology unknown")));
}

}  // namespace
}  // namespace npu_ipc::broker
