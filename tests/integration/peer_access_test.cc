// One region on many devices, many regions between two.
#include <vector>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

class PeerAccess : public NodeTest {
 protected:
  // What the broker has sent to it so far has been dealt with: messages come in order, and the
  // answer to this one is the last.
  static void Settle(RemoteParty& party) { EXPECT_EQ(party.Do("attach nobodys 1").ok(), false); }
  // Whether peer access to `device` works both ways.
  static std::string With(RemoteParty& party, int device) {
    return party.Do("peer-status 0 " + std::to_string(device))["enabled"];
  }
};

TEST_F(PeerAccess, LetsImportersOnManyDevicesReachOneRegion) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  Publish(exporter, "shard", 100);
  std::vector<RemoteParty> importers;
  for (int device = 1; device <= 3; ++device) {
    importers.push_back(
        StartMember("importer-" + std::to_string(device), "weights:importer", device));
    const Answer attached = importers.back().Do("attach shard 10000");
    EXPECT_EQ(attached["device"], std::to_string(device));
    EXPECT_EQ(attached["exporter_device"], "0");
    EXPECT_THAT(importers.back().Do("read shard"), IsPattern(100));
  }
  EXPECT_THAT(importers[0].Do("write shard 200"), IsOk());
  for (RemoteParty& importer : importers) EXPECT_THAT(importer.Do("read shard"), IsPattern(200));

  // One that leaves takes nothing from the others.
  EXPECT_THAT(importers[0].Do("detach shard"), IsOk());
  EXPECT_TRUE(WaitUntil([&] { return With(importers[0], 0) == "0"; }));
  EXPECT_THAT(importers[1].Do("read shard"), IsPattern(200));
  EXPECT_THAT(importers[2].Do("read shard"), IsPattern(200));
}

TEST_F(PeerAccess, EndsWithTheLastRegionBetweenTwoDevices) {
  RemoteParty exporter = StartMember("exporter", "weights", 0);
  RemoteParty importer = StartMember("importer", "weights", 1);
  EXPECT_EQ(With(importer, 0), "0");
  Publish(exporter, "first", 10);
  Publish(exporter, "second", 20);
  EXPECT_THAT(importer.Do("attach first 10000"), IsOk());
  EXPECT_THAT(importer.Do("attach second 10000"), IsOk());
  EXPECT_EQ(With(importer, 0), "1");

  EXPECT_THAT(importer.Do("detach first"), IsOk());
  ASSERT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));
  Settle(importer);
  Settle(exporter);
  EXPECT_EQ(With(importer, 0), "1");
  EXPECT_EQ(With(exporter, 1), "1");
  EXPECT_THAT(importer.Do("read second"), IsPattern(20));

  EXPECT_THAT(importer.Do("detach second"), IsOk());
  ASSERT_TRUE(MetricBecomes("npu_ipc_broker_grants", 0));
  EXPECT_TRUE(WaitUntil([&] { return With(importer, 0) == "0"; }));

  // And comes again with the next.
  EXPECT_THAT(importer.Do("attach first 10000"), IsOk());
  EXPECT_THAT(importer.Do("read first"), IsPattern(10));
}

}  // namespace
}  // namespace npu_ipc
