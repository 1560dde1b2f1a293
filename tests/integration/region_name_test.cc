// A region's name: who holds it, and how long one waits for it.
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RegionName : public NodeTest {};

TEST_F(RegionName, BelongsToItsLiveExporter) {
  RemoteParty first = StartMember("first", "weights", 0);
  RemoteParty second = StartMember("second", "weights", 1);
  const uint64_t generation = Publish(first, "shard", 1);
  EXPECT_THAT(second.Do("malloc shard 4194304"), IsOk());
  EXPECT_THAT(
      second.Do("publish shard"),
      IsRefused("NPU_IPC_NAME_TAKEN",
                AllOf(HasSubstr("'shard'"), HasSubstr("team-a/first (host pid " +
                                                      std::to_string(first.host_pid()) + ")"))));

  EXPECT_THAT(first.Do("withdraw shard 0"), IsOk());
  EXPECT_EQ(GenerationOf(second.Do("publish shard")), generation + 1);
}

TEST_F(RegionName, ThatNobodyPublishesIsWaitedForAsLongAsAsked) {
  RemoteParty importer = StartMember("importer", "weights", 0);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_THAT(
      importer.Do("attach shard 2000"),
      IsRefused("NPU_IPC_TIMED_OUT", AllOf(HasSubstr("no exporter on this node"),
                                           HasSubstr("'shard'"), HasSubstr("team-a/weights"))));
  // The broker answers a little before the caller's own wait ends, so that its words arrive.
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(1800));
}

TEST_F(RegionName, ThatIsPublishedMeanwhileWakesWhoWaits) {
  RemoteParty importer = StartMember("importer", "weights", 0);
  RemoteParty exporter = StartMember("exporter", "weights", 1);
  importer.Tell("attach shard 30000");
  ASSERT_TRUE(MetricBecomes("npu_ipc_broker_waiting_attaches", 1));
  Publish(exporter, "shard", 7);
  const Answer attached = importer.Hear();
  EXPECT_THAT(attached, IsOk());
  EXPECT_EQ(attached["exporter"], "team-a/exporter");
  EXPECT_EQ(attached["exporter_uid"], exporter.pod().uid);
  EXPECT_EQ(attached["exporter_host_pid"], std::to_string(exporter.host_pid()));
  EXPECT_THAT(importer.Do("read shard"), IsPattern(7));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_waiting_attaches", 0));
}

TEST_F(RegionName, OfEachRankIsItsOwn) {
  std::vector<RemoteParty> ranks;
  for (int rank = 0; rank < 3; ++rank) {
    ranks.push_back(StartMember("rank-" + std::to_string(rank), "world", rank));
  }
  for (int rank = 0; rank < 3; ++rank) {
    Publish(ranks[rank], "rank-" + std::to_string(rank), 100U * rank);
  }
  for (int rank = 0; rank < 3; ++rank) {
    const int left = (rank + 2) % 3;
    const std::string name = "rank-" + std::to_string(left);
    const Answer attached = ranks[rank].Do("attach " + name + " 10000");
    EXPECT_THAT(attached, IsOk());
    EXPECT_EQ(attached["exporter"], "team-a/" + name);
    EXPECT_THAT(ranks[rank].Do("read " + name), IsPattern(100U * left));
  }
}

}  // namespace
}  // namespace npu_ipc
