// A pid that another process has by now: with the start time of the one before it, too, which
// counts in hundredths of a second.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::Status;

class PidReuseTest : public ShareRegistryTest {
 protected:
  static constexpr pid_t kExporterPid = 10;
  static constexpr pid_t kImporterPid = 20;

  void SetUp() override {
    exporter_ = AddProcess(kExporterPid);
    importer_ = AddProcess(kImporterPid);
  }
  wire::Admit TakeAdmit() { return Take<wire::Admit>(exporter_, MessageType::kAdmit); }
  // Another process with the pid and the start time of `client`'s, whose end is heard of or not.
  ClientId Succeed(ClientId client, pid_t pid, bool heard) {
    context_.dead.insert(client);
    if (heard) registry_.Remove(client);
    return AddProcess(pid);
  }
  // The exporter answers for an importer of rank-0 that has gone, as has the region.
  void AnswerOnceAllIsGone(RegionId region) {
    Attach(importer_, "rank-0");
    const wire::Admit admit = TakeAdmit();
    registry_.Remove(importer_);
    Withdraw(exporter_, region, 0);
    Answer(exporter_, admit);
  }

  ClientId exporter_ = 0;
  ClientId importer_ = 0;
};

class WhetherHeard : public PidReuseTest, public testing::WithParamInterface<bool> {};

INSTANTIATE_TEST_SUITE_P(EndWas, WhetherHeard, testing::Bool(),
                         [](const auto& test) { return test.param ? "Heard" : "NotHeardYet"; });

TEST_P(WhetherHeard, AListingIsOfTheProcessThatWasMeant) {
  Publish(exporter_, "rank-0");
  Share(exporter_, importer_, "rank-0");
  const ClientId next = Succeed(importer_, kImporterPid, GetParam());
  Attach(next, "rank-0");
  const wire::Admit admit = TakeAdmit();
  EXPECT_EQ(admit.importer_host_pid, kImporterPid);
  EXPECT_TRUE(NothingSent(next)) << "granted without its exporter's word";
  Answer(exporter_, admit);
  Take<wire::Grant>(next, MessageType::kGrant);
}

TEST_P(WhetherHeard, ItsConnectionsDoNotCountForTheNext) {
  EXPECT_EQ(registry_.ClientsOf({kImporterPid, 1}), 1U);
  context_.dead.insert(importer_);
  if (GetParam()) registry_.Remove(importer_);
  EXPECT_EQ(registry_.ClientsOf({kImporterPid, 1}), 0U);
  AddProcess(kImporterPid);
  AddProcess(kImporterPid);
  EXPECT_EQ(registry_.ClientsOf({kImporterPid, 1}), 2U);
}

TEST_F(PidReuseTest, ARegionIsNotTakenOverByAnother) {
  const wire::Published published = Publish(exporter_, "rank-0");
  const GrantId grant = Share(exporter_, importer_, "rank-0").grant_id;
  registry_.Disconnect(exporter_);
  const ClientId next = Succeed(exporter_, kExporterPid, false);
  auto claim = NewMessage<wire::ReclaimRegion>(MessageType::kReclaimRegion, ++request_id_);
  PutText(claim.name, "rank-0");
  claim.handle_kind = wire::HandleKind::kIpcKey;
  memcpy(claim.handle, "key", 3);
  claim.allocation_bytes = 4096;
  claim.view_bytes = 4096;
  claim.generation = published.generation;
  registry_.ReclaimRegion(next, kGroup, claim);
  EXPECT_EQ(Take<wire::Published>(next, MessageType::kPublished).generation, 0U);
  registry_.Remove(exporter_);
  const auto told = Take<wire::Withdrawing>(importer_, MessageType::kWithdrawing);
  EXPECT_EQ(told.grant_id, grant);
  EXPECT_EQ(told.reason, wire::WithdrawReason::kExporterGone);
}

TEST_F(PidReuseTest, AMappingIsNotTakenOverByAnother) {
  Publish(exporter_, "rank-0");
  const wire::Grant grant = Share(exporter_, importer_, "rank-0");
  registry_.Disconnect(importer_);
  const ClientId next = Succeed(importer_, kImporterPid, false);
  auto claim = NewMessage<wire::ReclaimMapping>(MessageType::kReclaimMapping, ++request_id_);
  PutText(claim.name, "rank-0");
  claim.generation = grant.generation;
  claim.exporter_host_pid = kExporterPid;
  PutText(claim.exporter_pod_uid, "uid-10");
  memcpy(claim.handle, "key", 3);
  registry_.ReclaimMapping(next, claim);
  EXPECT_NE(Take<wire::Reclaimed>(next, MessageType::kReclaimed).grant_id, grant.grant_id);
  EXPECT_EQ(registry_.grants(), 2U);
  registry_.Remove(importer_);
  EXPECT_EQ(registry_.grants(), 1U);
}

TEST_F(PidReuseTest, TheEndOfTheEarlierOneEndsNothingOfTheNext) {
  const ClientId next = Succeed(importer_, kImporterPid, false);
  Publish(next, "rank-1", 0, "key-1");
  registry_.Remove(importer_);
  EXPECT_EQ(registry_.regions(), 1U);
  EXPECT_EQ(registry_.ClientsOf({kImporterPid, 1}), 1U);
  registry_.Remove(next);
  EXPECT_EQ(registry_.ClientsOf({kImporterPid, 1}), 0U);
}

TEST_F(PidReuseTest, TheNextMayEndBeforeTheEarlierOneIsKnownTo) {
  registry_.Remove(Succeed(importer_, kImporterPid, false));
  EXPECT_EQ(registry_.ClientsOf({kImporterPid, 1}), 0U);
  registry_.Remove(importer_);
  EXPECT_EQ(registry_.ClientsOf({kImporterPid, 1}), 0U);
}

// The pid is a member's again when the answer comes; another process may have had it in between.
TEST_P(WhetherHeard, AnAnswerThatMeantAnEarlierProcessTaintsTheKey) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0");
  const wire::Admit first = TakeAdmit();
  const ClientId next = Succeed(importer_, kImporterPid, GetParam());
  Attach(next, "rank-0");
  const wire::Admit second = TakeAdmit();

  Answer(exporter_, first);
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
  EXPECT_TRUE(NothingSent(next)) << "the driver may have listed the pid before it was its own";
  Answer(exporter_, second);
  Take<wire::Grant>(next, MessageType::kGrant);
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
}

TEST_F(PidReuseTest, AnAnswerForARegionThatIsGoneTaintsTheKeyThatIsNot) {
  const RegionId region = Publish(exporter_, "rank-0").region_id;
  Publish(exporter_, "of the same allocation");
  AnswerOnceAllIsGone(region);
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
}

TEST_F(PidReuseTest, AnAnswerForAKeyThatIsGoneTaintsNothing) {
  AnswerOnceAllIsGone(Publish(exporter_, "rank-0").region_id);
  EXPECT_TRUE(Counted("tainted_keys_total 0"));
}

TEST_F(PidReuseTest, EachAnswerToAnAdmitThatWasRepeatedCounts) {
  Publish(exporter_, "rank-0");
  Attach(importer_, "rank-0", 0, 60000);
  const wire::Admit first = TakeAdmit();
  Advance(std::chrono::seconds(5));
  const wire::Admit second = TakeAdmit();
  Answer(exporter_, first);
  Take<wire::Grant>(importer_, MessageType::kGrant);
  registry_.Remove(importer_);
  Answer(exporter_, second);
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
}

TEST_F(PidReuseTest, AnImporterThatHasEndedIsNotAskedFor) {
  Attach(importer_, "rank-0");
  context_.dead.insert(importer_);
  Publish(exporter_, "rank-0");
  EXPECT_TRUE(NothingSent(exporter_));
  EXPECT_EQ(registry_.waiting_attaches(), 1U);
  registry_.Remove(importer_);
  EXPECT_EQ(registry_.waiting_attaches(), 0U);
}

class UnansweredTest : public PidReuseTest {
 protected:
  // The exporter was asked to list the importer, and has lost its connection since.
  void SetUp() override {
    PidReuseTest::SetUp();
    Publish(exporter_, "rank-0");
    Attach(importer_, "rank-0", 0, 60000);
    admit_ = TakeAdmit();
  }

  wire::Admit admit_;
};

TEST_F(UnansweredTest, OneThatEndsBeforeTheAnswerWouldBeTooLateTaintsTheKey) {
  registry_.Disconnect(exporter_);
  Advance(std::chrono::seconds(4));
  registry_.Remove(importer_);
  EXPECT_TRUE(Counted("tainted_keys_total 0"));
  Advance(std::chrono::seconds(1));
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
}

TEST_F(UnansweredTest, OneThatHadEndedBeforeTheConnectionWasLostTaintsTheKey) {
  registry_.Remove(importer_);
  registry_.Disconnect(exporter_);
  Advance(std::chrono::seconds(5));
  EXPECT_TRUE(Counted("tainted_keys_total 1"));
}

TEST_F(UnansweredTest, OneThatLivesTaintsNothing) {
  registry_.Disconnect(exporter_);
  Advance(std::chrono::seconds(5));
  registry_.Remove(importer_);
  EXPECT_TRUE(Counted("tainted_keys_total 0"));
}

TEST_F(UnansweredTest, OneThatWasAnsweredBeforeTaintsNothing) {
  Answer(exporter_, admit_, Status::kExporterFailed);
  registry_.Remove(importer_);
  registry_.Disconnect(exporter_);
  Advance(std::chrono::seconds(5));
  EXPECT_TRUE(Counted("tainted_keys_total 0"));
}

}  // namespace
}  // namespace npu_ipc::broker
