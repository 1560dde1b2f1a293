#include "plugin/broker/cluster_reporter.h"

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "tests/fakes/fake_api_server.h"

namespace npu_ipc::broker {
namespace {

using cluster::Json;

class ClusterReporterTest : public testing::Test {
 protected:
  ClusterReporterTest() {
    server_.Put({cluster::kNodes, "", "node-1"},
                Json{{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", "node-1"}}}});
    pod_.uid = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
    pod_.pod_namespace = "team";
    pod_.name = "trainer";
  }
  bool Written(uint64_t events) {
    return server_.WaitUntil([&] { return reporter_.counts().events_written >= events; });
  }
  static std::shared_ptr<device_view::NodeState> Node(bool healthy) {
    auto state = std::make_shared<device_view::NodeState>();
    state->facts.last_look = device_view::WallTime{};
    device_view::DeviceState& device = state->devices["910B-0"];
    device.id = "910B-0";
    device.hardware.chip_name = "910B3";
    device.health.healthy = healthy;
    return state;
  }

  FakeApiServer server_;
  ClusterReporter reporter_{server_.Config(), "node-1"};
  pods::Pod pod_;
};

TEST_F(ClusterReporterTest, WritesARefusalOnThePodOnceHoweverOftenItComes) {
  for (int i = 0; i < 100; ++i) {
    reporter_.OnRefused(pod_, {wire::Status::kRoleDenied, "pod team/trainer is only importer"});
  }
  ASSERT_TRUE(Written(1));
  const std::vector<Json> events = server_.All(cluster::kEvents);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["involvedObject"]["uid"], pod_.uid);
  EXPECT_EQ(events[0]["metadata"]["namespace"], "team");
  EXPECT_EQ(events[0]["reason"], "ShareRefused");
  EXPECT_EQ(events[0]["message"], "role_denied: pod team/trainer is only importer");
}

TEST_F(ClusterReporterTest, SaysNothingOfTheNodeBeforeItIsKnown) {
  reporter_.OnNodeState(nullptr);
  reporter_.OnNodeState(std::make_shared<device_view::NodeState>());
  reporter_.OnNodeState(Node(true));
  ASSERT_TRUE(server_.WaitUntil([&] { return reporter_.counts().labels_current; }));
  EXPECT_EQ(server_.Requests("patch").size(), 1U);
}

TEST(RefusalEvent, IsOfWhatTheAnnotationsAreTheReasonOfAlone) {
  using wire::Status;
  for (const Status status : {Status::kNoGroup, Status::kBadAnnotation, Status::kNotInGroup,
                              Status::kRoleDenied, Status::kUnsupported, Status::kPolicyDenied,
                              Status::kNamespaceDenied, Status::kQuotaExceeded}) {
    EXPECT_TRUE(RefusalEvent({}, {status, "why"}).has_value()) << StatusName(status);
  }
  for (const Status status : {Status::kMalformed, Status::kTimedOut, Status::kReconnect,
                              Status::kShuttingDown, Status::kNameTaken, Status::kLimit}) {
    EXPECT_FALSE(RefusalEvent({}, {status, "why"}).has_value()) << StatusName(status);
  }
}

TEST(RevocationEvent, SaysWhatTheNextRequestWouldBeRefusedWith) {
  pods::Pod pod;
  pod.uid = "u";
  pod.pod_namespace = "team";
  pod.name = "importer";
  const cluster::Event event = RevocationEvent(pod, {wire::Status::kNotInGroup, "why"});
  EXPECT_EQ(event.reason, "ShareRevoked");
  EXPECT_EQ(event.message, "not_in_group: why");
}

TEST_F(ClusterReporterTest, LabelsTheNodeAndTellsOfEachChangeOfHealth) {
  reporter_.OnNodeState(Node(true));
  ASSERT_TRUE(server_.WaitUntil([&] { return reporter_.counts().labels_current; }));
  const Json node = server_.All(cluster::kNodes).front();
  EXPECT_EQ(node["metadata"]["labels"]["npu-ipc.io/npu.chip"], "910B3");
  EXPECT_TRUE(server_.All(cluster::kEvents).empty());

  reporter_.OnNodeState(Node(false));
  reporter_.OnNodeState(Node(false));
  reporter_.OnNodeState(Node(true));
  ASSERT_TRUE(Written(2));
  EXPECT_EQ(server_.All(cluster::kEvents).size(), 2U);
}

TEST(ClusterReporter, DropsAndCountsWhatAServerThatIsAwayDoesNotTake) {
  cluster::ClusterConfig nowhere;
  nowhere.host = "127.0.0.1";
  nowhere.port = 1;  // nobody serves it
  nowhere.tls = false;
  ClusterReporter reporter(nowhere, "");
  for (int pod = 0; pod < 1500; ++pod) {
    pods::Pod refused;
    refused.uid = refused.name = std::to_string(pod);
    refused.pod_namespace = "team";
    reporter.OnRefused(refused, {wire::Status::kNoGroup, "no group"});
  }
  const ApiCounts counts = reporter.counts();
  EXPECT_EQ(counts.events_written, 0U);
  EXPECT_EQ(counts.events_waiting, cluster::EventLimits().waiting);
  EXPECT_EQ(counts.events_dropped, 1500U - counts.events_waiting);
}

}  // namespace
}  // namespace npu_ipc::broker
