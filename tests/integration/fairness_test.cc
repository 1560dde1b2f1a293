// A client that misbehaves loses only itself: whoever shares beside it goes on.
#include <stdlib.h>

#include "tests/fixtures/bad_neighbour.h"
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

// Attaches that must come about beside each misbehaviour.
constexpr int kAttaches = 20;

class Fairness : public NodeTest, public testing::WithParamInterface<Misbehaviour> {
 protected:
  std::vector<std::string> BrokerFlags() const override {
    return {"--client-hello-timeout=200ms", "--client-max-queued-bytes=65536"};
  }

  std::unique_ptr<Container> StartNeighbour() {
    const PodRecord pod = NewPod("neighbour", "weights");
    auto started = node().Run(
        pod, Allocation(2),
        {"/usr/local/lib/npu-ipc-tests/npu-ipc-bad-neighbour", MisbehaviourName(GetParam())});
    EXPECT_TRUE(started.ok()) << started.status().message();
    const auto ready = (*started)->process().ReadLineStartingWith("ready");
    EXPECT_TRUE(ready.ok()) << ready.status().message();
    return std::move(*started);
  }

  // How often the broker has dropped the neighbour, once it has ended.
  static int Stop(Container& neighbour) {
    EXPECT_TRUE(neighbour.process().WriteLine("stop").ok());
    const auto said = neighbour.process().ReadLineStartingWith("dropped ");
    EXPECT_TRUE(said.ok()) << said.status().message();
    EXPECT_EQ(neighbour.process().Wait().value(), 0);
    return said.ok() ? ::atoi(said->c_str() + sizeof("dropped")) : -1;
  }

  // What the broker does to a client that goes on like that.
  static bool IsDropped() {
    return GetParam() == Misbehaviour::kNeverReads || GetParam() == Misbehaviour::kShortPackets ||
           GetParam() == Misbehaviour::kByteASecond || GetParam() == Misbehaviour::kSaysNothing;
  }
  // What the broker counts of it, and how much of that is no misbehaviour yet.
  static const char* Counter() {
    return GetParam() == Misbehaviour::kNeverReads ? "npu_ipc_broker_slow_clients_total"
                                                   : "npu_ipc_broker_connections_total";
  }
  static double Tolerated() {
    return GetParam() == Misbehaviour::kNeverReads ? 0 : kNeighboursConnections;
  }
  // That the broker has noticed it; `before`: what it had counted when there was no neighbour.
  testing::AssertionResult HasMisbehaved(double before) {
    if (GetParam() == Misbehaviour::kFlood)
      return MetricBecomes("npu_ipc_broker_clients", 2 + kNeighboursConnections);
    if (WaitUntil([&] { return Metric(Counter()) > before + Tolerated(); })) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure()
           << Counter() << " was " << before << " and is " << Metric(Counter());
  }
};

TEST_P(Fairness, LosesOnlyItself) {
  RemoteParty exporter = StartMember("exporter", "weights", 0);
  RemoteParty importer = StartMember("importer", "weights", 1);
  Publish(exporter, "held", 7);
  EXPECT_THAT(importer.Do("attach held 10000"), IsOk());

  const double before = Metric(Counter());
  const std::unique_ptr<Container> neighbour = StartNeighbour();
  EXPECT_TRUE(HasMisbehaved(before));
  for (int i = 0; i < kAttaches; ++i) {
    const std::string name = "shard-" + std::to_string(i);
    Publish(exporter, name, 100);
    ASSERT_THAT(importer.Do("attach " + name + " 10000"), IsOk()) << i;
    EXPECT_THAT(importer.Do("read " + name), IsPattern(100));
    EXPECT_THAT(importer.Do("detach " + name), IsOk());
    EXPECT_THAT(exporter.Do("withdraw " + name + " 10000"), IsOk());
    EXPECT_THAT(exporter.Do("free " + name), IsOk());
  }
  // One that comes while the neighbour is at it.
  RemoteParty late = StartMember("late", "weights", 3);
  EXPECT_THAT(late.Do("attach held 10000"), IsOk());
  const bool dropped = Stop(*neighbour) > 0;
  // On a slow machine the broker answers a flood faster than its maker reads.
  if (GetParam() != Misbehaviour::kFlood) {
    EXPECT_EQ(dropped, IsDropped());
  }

  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_clients", 3)) << "nothing is left of the neighbour";
  EXPECT_THAT(importer.Do("read held"), IsPattern(7));
}

INSTANTIATE_TEST_SUITE_P(Misbehaviours, Fairness, testing::ValuesIn(AllMisbehaviours()),
                         [](const testing::TestParamInfo<Misbehaviour>& parameter) {
                           std::string name = MisbehaviourName(parameter.param);
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace npu_ipc
