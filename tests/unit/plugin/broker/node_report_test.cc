#include "plugin/broker/node_report.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npu_ipc::broker {
namespace {

using cluster::EventType;
using device_view::NodeState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

NodeState Node(uint32_t devices) {
  NodeState state;
  state.facts.driver_version = "25.2.0";
  for (uint32_t i = 0; i < devices; ++i) {
    const std::string id = "910B-" + std::to_string(i);
    device_view::DeviceState& device = state.devices[id];
    device.id = id;
    device.hardware.physical_id = i;
    device.hardware.chip_name = "910B3";
    device.hardware.memory_bytes = uint64_t{64} << 30;
    device.health.healthy = true;
    if (i > 0) state.links.push_back({i - 1, i, hal::LinkType::kHccs});
  }
  return state;
}

TEST(NodeLabels, SayWhatTheNodeHas) {
  EXPECT_THAT(
      NodeLabels(Node(8)),
      ElementsAre(Pair("npu-ipc.io/driver.version", "25.2.0"), Pair("npu-ipc.io/npu.chip", "910B3"),
                  Pair("npu-ipc.io/npu.count", "8"), Pair("npu-ipc.io/npu.memory", "65536"),
                  Pair("npu-ipc.io/npu.product", "Ascend910B"),
                  Pair("npu-ipc.io/npu.topology", "HCCS")));
}

TEST(NodeLabels, OfANodeWithoutDevicesSayThat) {
  EXPECT_THAT(NodeLabels({}), ElementsAre(Pair("npu-ipc.io/npu.count", "0")));
}

TEST(NodeLabels, AreWhatALabelCanHoldWhateverTheDriverSays) {
  NodeState state = Node(2);
  state.facts.driver_version = "(v 25)+" + std::string(100, 'x');
  state.devices["910B-0"].hardware.chip_name = "???";
  state.devices["910B-1"].hardware.chip_name = "910B3 rev/2";
  state.links[0].type = hal::LinkType::kHccsSwitch;
  state.links.push_back({0, 1, hal::LinkType::kSio});
  const cluster::Labels labels = NodeLabels(state);
  const Status checked = cluster::CheckLabels(labels);
  EXPECT_TRUE(checked.ok()) << checked.message();
  EXPECT_THAT(labels.at("npu-ipc.io/driver.version"), HasSubstr("v_25__xxx"));
  EXPECT_THAT(labels.at("npu-ipc.io/npu.chip"), HasSubstr("910B3_rev_2"));
  EXPECT_EQ(labels.at("npu-ipc.io/npu.topology"), "HCCS_SW-SIO");
}

TEST(NodeLabels, AreNotMadeOfWhatNobodyHasLookedAtYet) {
  NodeState state;
  EXPECT_TRUE(NothingKnownYet(state));
  state.facts.problem = "cannot load libdcmi.so";
  EXPECT_FALSE(NothingKnownYet(state));
  state.facts = {.driver_version = "", .problem = "", .last_look = device_view::WallTime{}};
  EXPECT_FALSE(NothingKnownYet(state));
}

TEST(NodeEvents, AreOfWhatChanged) {
  const NodeState before = Node(3);
  NodeState now = before;
  EXPECT_THAT(NodeEvents("node-1", &before, now), IsEmpty());
  now.devices["910B-1"].health = {false, hal::HealthLevel::kCritical, {}, "fault 0x80e01801", {}};
  now.devices.erase("910B-2");
  const std::vector<cluster::Event> events = NodeEvents("node-1", &before, now);
  ASSERT_EQ(events.size(), 2U);
  for (const cluster::Event& event : events) {
    EXPECT_EQ(event.subject, cluster::NodeSubject("node-1"));
    EXPECT_EQ(event.type, EventType::kWarning);
  }
  EXPECT_EQ(events[0].reason, "DeviceGone");
  EXPECT_EQ(events[0].message, "910B-2 is not there any more");
  EXPECT_EQ(events[1].reason, "DeviceUnhealthy");
  EXPECT_EQ(events[1].message, "910B-1 is unhealthy, level critical: fault 0x80e01801");

  const std::vector<cluster::Event> back = NodeEvents("node-1", &now, before);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].type, EventType::kNormal);
  EXPECT_EQ(back[0].reason, "DeviceHealthy");
  EXPECT_EQ(back[0].message, "910B-1, 910B-2 are healthy");
}

TEST(NodeEvents, AreOneForAllDevicesThatChangedForOneReason) {
  const NodeState before = Node(16);
  NodeState now = before;
  now.facts.problem = "the driver has not answered for 10000 ms";
  for (auto& [id, device] : now.devices) {
    device.health = {false, std::nullopt, {}, now.facts.problem, {}};
  }
  const std::vector<cluster::Event> events = NodeEvents("node-1", &before, now);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_THAT(events[0].message, HasSubstr("910B-0, 910B-1, "));
  EXPECT_THAT(events[0].message, HasSubstr(" are unhealthy: the driver has not answered"));
  EXPECT_EQ(events[1].reason, "DriverProblem");
  EXPECT_EQ(events[1].message, now.facts.problem);
  EXPECT_EQ(NodeEvents("node-1", &now, before).back().reason, "DriverAnswers");
}

TEST(NodeEvents, OfTheFirstStateAreOfWhatIsNotWell) {
  NodeState first = Node(2);
  EXPECT_THAT(NodeEvents("node-1", nullptr, first), IsEmpty());
  first.devices["910B-1"].health.healthy = false;
  EXPECT_EQ(NodeEvents("node-1", nullptr, first).size(), 1U);
}

TEST(NodeEvents, SayWhyANodeHasNoNpu) {
  NodeState none;
  none.facts.problem = "the driver lists no NPU on this node";
  const std::vector<cluster::Event> events = NodeEvents("node-1", nullptr, none);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reason, "NoDevices");
  EXPECT_EQ(events[0].type, EventType::kNormal);
  EXPECT_THAT(events[0].message, HasSubstr(none.facts.problem));
}

TEST(NodeEvents, AreOfAChangedLevelToo) {
  const NodeState before = Node(1);
  NodeState now = before;
  now.devices["910B-0"].health.level = hal::HealthLevel::kMinor;
  EXPECT_EQ(NodeEvents("node-1", &before, now).size(), 1U);
  now = before;
  now.usage["910B-0"].temperature_celsius = 60;
  EXPECT_THAT(NodeEvents("node-1", &before, now), IsEmpty());
}

}  // namespace
}  // namespace npu_ipc::broker
