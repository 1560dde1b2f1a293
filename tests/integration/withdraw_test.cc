// An exporter takes its memory back.
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

class Withdraw : public NodeTest {};

TEST_F(Withdraw, WaitsForImportersAndNamesThoseThatHoldOn) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());

  EXPECT_THAT(
      exporter.Do("withdraw shard 200"),
      IsRefused("NPU_IPC_STILL_HELD", HasSubstr("team-a/importer (host pid " +
                                                std::to_string(importer.host_pid()) + ")")));
  const Answer event = importer.Do("event 30000");
  EXPECT_EQ(event["event"], "withdrawing");
  EXPECT_EQ(event["name"], "shard");
  EXPECT_EQ(importer.Do("info shard")["state"], "withdrawing");
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100))
      << "it is the importer's until it detaches";

  exporter.Tell("withdraw shard 30000");
  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_THAT(exporter.Hear(), IsOk());
  EXPECT_THAT(exporter.Do("free shard"), IsOk());
}

TEST_F(Withdraw, LetsNobodyNewIn) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  RemoteParty late = StartMember("late", "weights:importer", 2);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw shard 0"),
              IsRefused("NPU_IPC_STILL_HELD", HasSubstr("importer")));
  EXPECT_THAT(late.Do("attach shard 2000"), IsRefused("NPU_IPC_TIMED_OUT", HasSubstr("'shard'")));
}

TEST_F(Withdraw, WithForceEndsTheMappingUnderItsImporter) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(importer.Do("malloc local 4194304"), IsOk());
  EXPECT_THAT(importer.Do("write local 7"), IsOk());

  EXPECT_THAT(exporter.Do("withdraw shard 0 force"), IsOk());
  // It is asked, and told that it is too late for that; of one mapping only the latest event waits.
  EXPECT_THAT(importer.Do("event 30000")["event"], AnyOf("withdrawing", "exporter-gone"));
  EXPECT_TRUE(WaitUntil([&] { return importer.Do("info shard")["state"] == "exporter-gone"; }));
  EXPECT_THAT(importer.Do("copy shard local"), IsVendorError());
  EXPECT_THAT(importer.Do("copy local shard"), IsVendorError());
  EXPECT_THAT(importer.Do("read local"), IsPattern(7));
  EXPECT_THAT(exporter.Do("read shard"), IsPattern(100));
  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_THAT(exporter.Do("free shard"), IsOk());
}

}  // namespace
}  // namespace npu_ipc
