// Names over a restart of the broker: kept for exporters that come back late.
#include "gmock/gmock.h"
#include "plugin/broker/name_file.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::SizeIs;
using wire::MessageType;
using wire::Status;

constexpr pid_t kLate = 10;  // the exporter's process

class NamesTest : public ShareRegistryTest {
 protected:
  // The grace period is 30 s, the reclaim window 5 s.
  NamesTest() : ShareRegistryTest({}, /*generation_floor=*/100) {}

  // What a broker that was killed has left behind: names of connections.
  void Restarted(const std::vector<std::pair<std::string, ClientId>>& names) {
    {
      const auto before = Open();
      for (const auto& [name, client] : names) before->Write({kGroup, name}, {kLate, 1}, client);
    }
    file_ = Open();
    registry_.KeepNames(*file_);
  }
  std::unique_ptr<NameFile> Open() {
    return std::move(NameFile::Open(directory_.Path("names"), "boot")).value();
  }
  // What the next broker would find.
  size_t Written() { return Open()->TakeFound().size(); }
  // REQUIRES: it is refused.
  wire::Refused PublishInVain(ClientId client, const std::string& name) {
    registry_.Publish(client, kGroup, PublishRequest(name, 0, "other"));
    return TakeRefused(client);
  }
  uint64_t AttachPublished(ClientId client, const std::string& name) {
    auto request = NewMessage<wire::Attach>(MessageType::kAttachPublished, ++request_id_);
    PutText(request.name, name);
    request.wait_milliseconds = 60000;
    registry_.Attach(client, kGroup, request);
    return request_id_;
  }

  const TemporaryDirectory directory_;
  std::unique_ptr<NameFile> file_;
};

TEST_F(NamesTest, AreWrittenWhileTheyAreHeld) {
  Restarted({});
  const ClientId exporter = AddProcess(kLate);
  const wire::Published first = Publish(exporter, "rank-0");
  Publish(exporter, "rank-1");
  EXPECT_EQ(Written(), 2U);
  Withdraw(exporter, first.region_id, 0);
  EXPECT_EQ(Written(), 1U);
  registry_.Remove(exporter);
  EXPECT_EQ(Written(), 0U);
}

TEST_F(NamesTest, AreNobodyElsesBeforeTheirExporterIsBack) {
  Restarted({{"rank-0", 1}});
  const ClientId other = AddProcess(20);
  const wire::Refused refused = PublishInVain(other, "rank-0");
  EXPECT_EQ(refused.status, Status::kNameTaken);
  EXPECT_THAT(refused.reason, HasSubstr("host pid 10"));
  Publish(other, "rank-1", 0, "other");

  const ClientId late = AddProcess(kLate);
  EXPECT_EQ(ReclaimRegion(late, RegionClaim("rank-0")).generation, 7U);
  EXPECT_EQ(Written(), 2U);
  Share(late, AddProcess(30), "rank-0");
}

TEST_F(NamesTest, AreNobodyElsesToReclaim) {
  Restarted({{"rank-0", 1}});
  const ClientId other = AddProcess(20);
  EXPECT_EQ(ReclaimRegion(other, RegionClaim("rank-0", 0, 8, "other")).generation, 0U);
  EXPECT_EQ(ReclaimRegion(AddProcess(kLate), RegionClaim("rank-0")).generation, 7U);
}

TEST_F(NamesTest, AreTheirExportersToPublishAnew) {
  Restarted({{"rank-0", 1}});
  EXPECT_GT(Publish(AddProcess(kLate), "rank-0").generation, 100U);
  EXPECT_EQ(Written(), 1U);
}

TEST_F(NamesTest, AreFreeOnceTheirExporterHasEnded) {
  Restarted({{"rank-0", 1}});
  context_.ended.insert(kLate);
  Publish(AddProcess(20), "rank-0");
  EXPECT_EQ(Written(), 1U);
  Advance(seconds(1));
  EXPECT_EQ(Written(), 1U);
  EXPECT_EQ(Open()->TakeFound().front().exporter.pid, 20);
}

TEST_F(NamesTest, AreNotReadOfExportersThatHaveEnded) {
  context_.ended.insert(kLate);
  Restarted({{"rank-0", 1}, {"rank-1", 1}});
  EXPECT_EQ(Written(), 0U);
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(NamesTest, AreFreeAfterTheGracePeriod) {
  Restarted({{"rank-0", 1}});
  const ClientId other = AddProcess(20);
  Advance(seconds(29));
  EXPECT_EQ(PublishInVain(other, "rank-0").status, Status::kNameTaken);
  EXPECT_EQ(Written(), 1U);
  Advance(seconds(1));
  EXPECT_EQ(Written(), 0U);
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
  Publish(other, "rank-0");
}

TEST_F(NamesTest, AreKeptOverAnotherRestart) {
  Restarted({{"rank-0", 1}});
  EXPECT_EQ(Written(), 1U);
}

TEST_F(NamesTest, AreFreeOnceTheirExporterHasToldThatItHasThemNoMore) {
  Restarted({{"rank-0", 1}, {"rank-1", 1}});
  const ClientId late = AddProcess(kLate);
  ReclaimRegion(late, RegionClaim("rank-0"));
  registry_.ReclaimDone(late);
  EXPECT_EQ(Written(), 1U);
  Publish(AddProcess(20), "rank-1");
}

TEST_F(NamesTest, OfTwoConnectionsAreFreeOnceBothHaveTold) {
  Restarted({{"rank-0", 1}, {"rank-1", 2}});
  const ClientId other = AddProcess(20);
  registry_.ReclaimDone(AddProcess(kLate));
  EXPECT_EQ(PublishInVain(other, "rank-0").status, Status::kNameTaken);
  registry_.ReclaimDone(AddProcess(kLate));
  Publish(other, "rank-0");
}

TEST_F(NamesTest, FollowTheirExporterToANewConnection) {
  Restarted({});
  const ClientId before = AddProcess(kLate);
  const wire::Published published = Publish(before, "rank-0");
  registry_.Disconnect(before);
  const ClientId now = AddProcess(kLate);
  ReclaimRegion(now, RegionClaim("rank-0", 0, published.generation));
  const std::vector<NameFile::Entry> found = Open()->TakeFound();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found.front().client, now);
}

TEST_F(NamesTest, AnAttachWaitsForALateExporter) {
  Restarted({{"rank-0", 1}});
  const ClientId importer = AddProcess(20);
  Attach(importer, "rank-0", 0, 20000);
  Advance(seconds(19));
  EXPECT_TRUE(NothingSent(importer));
  const ClientId late = AddProcess(kLate);
  ReclaimRegion(late, RegionClaim("rank-0"));
  Answer(late, Take<wire::Admit>(late, MessageType::kAdmit));
  Take<wire::Grant>(importer, MessageType::kGrant);
}

TEST_F(NamesTest, AnAttachIsToldOfALateExporter) {
  Restarted({{"rank-0", 1}});
  const ClientId importer = AddProcess(20);
  Attach(importer, "rank-0", 0, 0);
  wire::Refused refused = TakeRefused(importer);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_THAT(refused.reason, HasSubstr("(host pid 10) has not come back since the broker was"));
  Attach(importer, "rank-1", 0, 0);
  EXPECT_EQ(TakeRefused(importer).status, Status::kNotFound);
}

TEST_F(NamesTest, AnAttachToAPublishedRegionWaitsPastTheReclaimWindow) {
  Restarted({{"rank-0", 1}});
  const ClientId importer = AddProcess(20);
  Advance(seconds(6));
  AttachPublished(importer, "rank-0");
  AttachPublished(importer, "rank-1");
  EXPECT_EQ(TakeRefused(importer).status, Status::kNotFound);
  Advance(seconds(4));
  EXPECT_TRUE(NothingSent(importer));
  context_.ended.insert(kLate);
  Advance(seconds(1));
  registry_.RunDue();
  EXPECT_EQ(TakeRefused(importer).status, Status::kNotFound);
}

TEST_F(NamesTest, AnAttachToAPublishedRegionWaitsNoLongerThanTheGracePeriod) {
  Restarted({{"rank-0", 1}});
  const ClientId importer = AddProcess(20);
  AttachPublished(importer, "rank-0");
  Advance(seconds(29));
  EXPECT_TRUE(NothingSent(importer));
  Advance(seconds(1));
  EXPECT_EQ(TakeRefused(importer).status, Status::kNotFound);
}

TEST_F(NamesTest, AnAttachToAPublishedRegionOfAnEndedExporterWaitsForTheReclaimWindowAlone) {
  Restarted({{"rank-0", 1}});
  const ClientId importer = AddProcess(20);
  AttachPublished(importer, "rank-0");
  context_.ended.insert(kLate);
  Advance(seconds(4));
  EXPECT_TRUE(NothingSent(importer));
  Advance(seconds(1));
  EXPECT_EQ(TakeRefused(importer).status, Status::kNotFound);
}

}  // namespace
}  // namespace npu_ipc::broker
