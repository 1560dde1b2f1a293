// A broker that is killed after the n-th packet of an exchange, for each n.
#include <signal.h>

#include <map>
#include <optional>

#include "tests/integration/broker_sequence.h"
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAreArray;

// More packets than any exchange here has: a test that gets so far does not end.
constexpr int kTooMany = 200;

class BrokerKill : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    node().broker().Signal(SIGKILL);
    ASSERT_TRUE(node().broker().Wait().ok());
  }
  std::vector<std::string> BrokerFlags() const override {
    return {"--reclaim-window", "500ms"};  // longer than a client takes to come back
  }
  BrokerSequence Brokers(std::vector<int> kill_after) {
    return BrokerSequence(node().BrokerCommand(node().socket_path()), std::move(kill_after),
                          "/run/npu/broker.log");
  }
  // What a party answers to `event` until one is of that kind.
  static Answer Awaited(RemoteParty& party, const std::string& kind) {
    for (;;) {
      const Answer event = party.Do("event 30000");
      if (!event.ok() || event["event"] == kind) return event;
    }
  }
};

// Hello, Publish, Attach, Admit, Admitted, Grant, Imported, Withdraw, Withdrawing, Detached,
// Withdrawn: and what follows each restart.
TEST_F(BrokerKill, AtEachStepOfAShareCostsNobodyAnything) {
  std::optional<RemoteParty> exporter, importer, bystander;
  {
    const BrokerSequence quiet = Brokers({});
    exporter.emplace(Start(NewPod("exporter", "weights:exporter"), 0));
    importer.emplace(Start(NewPod("importer", "weights:importer"), 1));
    bystander.emplace(Start(NewPod("bystander", "weights:exporter"), 2));
  }
  EXPECT_THAT(exporter->Do("malloc shard 4194304"), IsOk());
  EXPECT_THAT(exporter->Do("write shard 100"), IsOk());
  const std::vector<int> expected = {exporter->host_pid(), importer->host_pid()};
  uint64_t generation = 0;
  int n = 0;
  for (bool killed = true; killed && !HasFailure();) {
    ASSERT_LT(++n, kTooMany);
    SCOPED_TRACE("killed after packet " + std::to_string(n));
    const BrokerSequence brokers = Brokers({n});
    for (RemoteParty* party : {&*exporter, &*importer, &*bystander}) {
      EXPECT_THAT(party->Do("open"), IsOk());
    }
    const uint64_t before = generation;
    generation = GenerationOf(exporter->Do("publish shard"));
    EXPECT_GT(generation, before);
    EXPECT_EQ(GenerationOf(importer->Do("attach shard 30000")), generation);
    EXPECT_FALSE(bystander->Do("attach shard 1").ok());
    ASSERT_THAT(ExportedKeys(), SizeIs(1));
    EXPECT_THAT(AuditedPids(ExportedKeys().front()), UnorderedElementsAreArray(expected));
    EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 1));
    EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));

    exporter->Tell("withdraw shard 30000");
    EXPECT_TRUE(Awaited(*importer, "withdrawing").ok());
    EXPECT_THAT(importer->Do("read shard"), IsPattern(100));
    EXPECT_THAT(importer->Do("detach shard"), IsOk());
    EXPECT_THAT(exporter->Hear(), IsOk());
    EXPECT_THAT(ExportedKeys(), IsEmpty());
    EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 0));
    EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 0));
    for (RemoteParty* party : {&*exporter, &*importer, &*bystander}) party->Do("close");
    killed = brokers.killed() > 0;
  }
  EXPECT_GT(n, 15) << "each step was one to be killed at";
}

// And while clients tell the next broker what they hold: it is killed too.
TEST_F(BrokerKill, AtEachStepOfAReclaimCostsNobodyAnything) {
  std::optional<RemoteParty> exporter, importer;
  {
    const BrokerSequence quiet = Brokers({});
    exporter.emplace(StartMember("exporter", "weights:exporter", 0));
    importer.emplace(StartMember("importer", "weights:importer", 1));
    for (const char* name : {"a", "b", "c"}) Publish(*exporter, name, 100);
    for (const char* name : {"a", "b"}) {
      EXPECT_THAT(importer->Do(std::string("attach ") + name + " 30000"), IsOk());
    }
  }
  const std::vector<std::string> keys = ExportedKeys();
  ASSERT_THAT(keys, SizeIs(3));
  std::map<std::string, std::vector<int>> listed;
  for (const std::string& key : keys) listed[key] = AuditedPids(key);

  int n = 0;
  for (bool killed = true; killed && !HasFailure();) {
    ASSERT_LT(++n, kTooMany);
    SCOPED_TRACE("killed after packet " + std::to_string(n));
    const BrokerSequence brokers = Brokers({n});
    EXPECT_TRUE(WaitUntil([&] {
      return Metric("npu_ipc_broker_regions") == 3 && Metric("npu_ipc_broker_grants") == 2;
    }));
    for (const char* name : {"a", "b"}) {
      EXPECT_EQ(importer->Do(std::string("info ") + name)["state"], "live");
      EXPECT_THAT(importer->Do(std::string("read ") + name), IsPattern(100));
    }
    for (const auto& [key, pids] : listed) EXPECT_EQ(AuditedPids(key), pids);
    killed = brokers.killed() > 0;
  }
  EXPECT_GT(n, 10) << "each step was one to be killed at";

  const BrokerSequence brokers = Brokers({});
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 2));
  exporter->Tell("withdraw a 30000");
  EXPECT_EQ(Awaited(*importer, "withdrawing")["name"], "a");
  EXPECT_THAT(importer->Do("detach a"), IsOk());
  EXPECT_THAT(exporter->Hear(), IsOk());
}

}  // namespace
}  // namespace npu_ipc
