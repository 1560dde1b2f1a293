// After attach, nothing of ours is on the way of the data.
#include <signal.h>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

class DataPath : public NodeTest {};

TEST_F(DataPath, WorksWithoutABroker) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());

  node().broker().Signal(SIGKILL);
  ASSERT_TRUE(node().broker().Wait().ok());
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
  EXPECT_THAT(importer.Do("write shard 200"), IsOk());
  EXPECT_THAT(exporter.Do("read shard"), IsPattern(200));
  EXPECT_THAT(exporter.Do("write shard 300"), IsOk());
  EXPECT_THAT(importer.Do("read shard"), IsPattern(300));

  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw shard 0 force"), IsOk());
  EXPECT_THAT(exporter.Do("free shard"), IsOk());
}

}  // namespace
}  // namespace npu_ipc
