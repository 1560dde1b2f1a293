// An exporter's program that takes down what its regions need, and lives on.
#include <vector>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::HasSubstr;

// What the program does with AscendCL before it publishes (its device is set), and what it does
// later.
struct Teardown {
  const char* name;
  const char* before;  // or null
  std::vector<const char*> after;
};

class ProgramTeardown : public NodeTest, public testing::WithParamInterface<Teardown> {};

TEST_P(ProgramTeardown, IsToldToBothSidesWhenTheNextImporterComes) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  RemoteParty late = StartMember("late", "weights:importer", 2);
  if (GetParam().before != nullptr) {
    EXPECT_THAT(exporter.Do(GetParam().before), IsOk());
  }
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());

  for (const char* step : GetParam().after) EXPECT_THAT(exporter.Do(step), IsOk());
  const Answer refused = late.Do("attach shard 1000");
  EXPECT_THAT(refused.line, HasSubstr("exporter")) << "whoever is to blame is named";
  EXPECT_FALSE(refused.ok());
  const Answer lost = exporter.Do("event 30000");
  EXPECT_EQ(lost["event"], "region-lost");
  EXPECT_EQ(lost["name"], "shard");
  EXPECT_EQ(importer.Do("event 30000")["event"], "withdrawing");

  // Nothing is stuck: the name is free, and what is left ends with the processes.
  RemoteParty successor = StartMember("successor", "weights:exporter", 3);
  Publish(successor, "shard", 200);
  EXPECT_THAT(late.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(late.Do("read shard"), IsPattern(200));
  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));
}

INSTANTIATE_TEST_SUITE_P(
    Ways, ProgramTeardown,
    testing::Values(Teardown{"DestroysItsContext", "new-context 0", {"destroy-context"}},
                    Teardown{"ResetsItsDevice", nullptr, {"reset-device 0"}},
                    Teardown{"Finalizes", nullptr, {"reset-device 0", "finalize"}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace npu_ipc
