#include "plugin/broker/share_snapshot.h"

#include <gmock/gmock.h>

#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class ShareSnapshotTest : public ShareRegistryTest {
 protected:
  ShareSnapshot Take(ShareQuery query, size_t at_once = 1) {
    ShareSnapshotTaker taker(registry_, std::move(query));
    steps_ = 1;
    while (!taker.Step(at_once)) ++steps_;
    return taker.Take();
  }
  static ShareQuery Regions() {
    ShareQuery query;
    query.regions = true;
    return query;
  }
  void SayImported(ClientId importer, GrantId grant) {
    auto message = NewMessage<wire::Imported>(wire::MessageType::kImported, 0);
    message.grant_id = grant;
    registry_.Imported(importer, message);
  }

  size_t steps_ = 0;
  const ClientId exporter_ = AddProcess(100);
  const ClientId importer_ = AddProcess(200);
};

TEST_F(ShareSnapshotTest, HasARegionWithItsMappings) {
  const wire::Published published = Publish(exporter_, "shard", 3);
  Advance(std::chrono::seconds(5));
  const wire::Grant grant = Share(exporter_, importer_, "shard", 4);
  Advance(std::chrono::seconds(2));

  ShareSnapshot snapshot = Take(Regions());
  ASSERT_THAT(snapshot.regions, SizeIs(1));
  const ShareSnapshot::Region& region = snapshot.regions.begin()->second;
  EXPECT_EQ(region.name.Text(), "team/weights/shard");
  EXPECT_EQ(region.generation, published.generation);
  EXPECT_EQ(region.device, 3U);
  EXPECT_EQ(region.state, RegionState::kShared);
  EXPECT_EQ(region.age, std::chrono::seconds(7));
  EXPECT_EQ(region.whitelisted, 1U);
  ASSERT_THAT(snapshot.mappings, SizeIs(1));
  EXPECT_EQ(snapshot.mappings[0].region, published.region_id);
  EXPECT_EQ(snapshot.mappings[0].importer_device, 4U);
  EXPECT_EQ(snapshot.mappings[0].state, MappingState::kGranted);
  EXPECT_EQ(snapshot.mappings[0].age, std::chrono::seconds(2));
  EXPECT_EQ(snapshot.processes.at(importer_).info.process.pid, 200);
  EXPECT_EQ(snapshot.processes.at(exporter_).regions, 1U);
  EXPECT_EQ(snapshot.next, "");

  SayImported(importer_, grant.grant_id);
  snapshot = Take(Regions());
  EXPECT_EQ(snapshot.mappings[0].state, MappingState::kImported);
}

TEST_F(ShareSnapshotTest, TellsWhatIsBeingClosedAndWhatIsDead) {
  const wire::Published published = Publish(exporter_, "shard");
  const wire::Grant grant = Share(exporter_, importer_, "shard");
  SayImported(importer_, grant.grant_id);
  Withdraw(exporter_, published.region_id, 60'000);
  ShareSnapshot snapshot = Take(Regions());
  EXPECT_EQ(snapshot.regions.at(published.region_id).state, RegionState::kWithdrawing);
  EXPECT_EQ(snapshot.mappings.at(0).state, MappingState::kWithdrawing);

  registry_.Remove(exporter_);
  snapshot = Take(Regions());
  EXPECT_THAT(snapshot.regions, SizeIs(0));
  ASSERT_THAT(snapshot.mappings, SizeIs(1));
  EXPECT_EQ(snapshot.mappings[0].region, 0U);
  EXPECT_EQ(snapshot.mappings[0].state, MappingState::kDead);
  EXPECT_EQ(snapshot.mappings[0].region_name, "team/weights/shard");
}

TEST_F(ShareSnapshotTest, ComesInPages) {
  for (int i = 0; i < 5; ++i) Publish(exporter_, "shard-" + std::to_string(i));
  Share(exporter_, importer_, "shard-1");
  ShareQuery query = Regions();
  query.page = 2;
  std::vector<std::string> names;
  size_t mappings = 0;
  size_t pages = 0;
  do {
    const ShareSnapshot snapshot = Take(query);
    for (const auto& [id, region] : snapshot.regions) names.push_back(region.name.name);
    mappings += snapshot.mappings.size();
    query.from = snapshot.next;
    ASSERT_LT(++pages, 10U);
  } while (!query.from.empty());
  EXPECT_THAT(names, ElementsAre("shard-0", "shard-1", "shard-2", "shard-3", "shard-4"));
  EXPECT_EQ(mappings, 1U);
  EXPECT_GE(pages, 3U);
}

TEST_F(ShareSnapshotTest, AnUnknownPageIsEmpty) {
  Publish(exporter_, "shard");
  for (const char* const from : {"r", "r.", "r.1", "x.1.1", "r.1.1.", "r.99999.1", "m.1.2 "}) {
    ShareQuery query = Regions();
    query.from = from;
    EXPECT_THAT(Take(query).regions, SizeIs(0)) << from;
  }
}

TEST_F(ShareSnapshotTest, LooksAtALittleAtATime) {
  for (int i = 0; i < 100; ++i) Publish(exporter_, "shard-" + std::to_string(i));
  EXPECT_THAT(Take(Regions(), 10).regions, SizeIs(100));
  EXPECT_GE(steps_, 10U);
  EXPECT_LE(steps_, 30U);
}

TEST_F(ShareSnapshotTest, WhatComesAndGoesMeanwhileDoesNoHarm) {
  for (int i = 0; i < 20; ++i) Publish(exporter_, "shard-" + std::to_string(i));
  ShareSnapshotTaker taker(registry_, Regions());
  taker.Step(5);
  registry_.Remove(exporter_);
  const ClientId late = AddProcess(300);
  Publish(late, "late");
  while (!taker.Step(5)) {
  }
  EXPECT_LE(taker.Take().regions.size(), 20U);
}

TEST_F(ShareSnapshotTest, ListsAsManyMappingsOfARegionAsItIsAskedFor) {
  Publish(exporter_, "shard");
  for (pid_t pid = 300; pid < 305; ++pid) Share(exporter_, AddProcess(pid), "shard");
  ShareQuery query = Regions();
  query.mappings_of_region = 2;
  const ShareSnapshot snapshot = Take(query);
  EXPECT_THAT(snapshot.mappings, SizeIs(2));
  EXPECT_EQ(snapshot.regions.begin()->second.mappings, 5U);
}

TEST_F(ShareSnapshotTest, HasTheGroupsThatAreAskedForAlone) {
  Publish(exporter_, "shard");
  ShareQuery query = Regions();
  query.groups = {"team/others"};
  EXPECT_THAT(Take(query).regions, SizeIs(0));
  query.groups = {"team/weights"};
  EXPECT_THAT(Take(query).regions, SizeIs(1));
}

TEST_F(ShareSnapshotTest, HasKeysWithWhoIsOnTheirWhitelists) {
  Publish(exporter_, "shard", 2, "secret");
  Publish(exporter_, "same", 2, "secret");
  Share(exporter_, importer_, "shard");
  ShareQuery query;
  query.processes = true;
  query.keys = true;
  const ShareSnapshot snapshot = Take(query);
  EXPECT_THAT(snapshot.processes, SizeIs(2));
  EXPECT_THAT(snapshot.regions, SizeIs(0));
  ASSERT_THAT(snapshot.keys, SizeIs(1));
  EXPECT_EQ(snapshot.keys[0].key, "secret");
  EXPECT_EQ(snapshot.keys[0].device, 2U);
  EXPECT_THAT(snapshot.keys[0].regions, ElementsAre("team/weights/same", "team/weights/shard"));
  ASSERT_THAT(snapshot.keys[0].listings, SizeIs(1));
  EXPECT_TRUE(snapshot.keys[0].listings.at(200).listed);
}

}  // namespace
}  // namespace npu_ipc::broker
