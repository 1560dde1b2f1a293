#include "plugin/device_view/conversion.h"

#include <gtest/gtest.h>

#include "plugin/device_view/proto/device_view.pb.h"
#include "tests/unit/plugin/device_view/states.h"

namespace npu_ipc::device_view {
namespace {

namespace v1 = npu::ipc::v1;

NodeState ThroughTheWire(const NodeState& from, const NodeState& to) {
  v1::Update sent;
  ToProto(Difference(from, to), &sent);
  v1::Update received;
  EXPECT_TRUE(received.ParseFromString(sent.SerializeAsString()));
  NodeState made = from;
  EXPECT_TRUE(Apply(FromProto(received), &made).ok());
  return made;
}

TEST(ConversionTest, KeepsEveryField) {
  EXPECT_EQ(ThroughTheWire(NodeState(), FullState(1)), FullState(1));
}

TEST(ConversionTest, KeepsWhatIsNotKnownUnknown) {
  NodeState state = FullState(1);
  state.facts.last_look.reset();
  for (auto& [id, device] : state.devices) {
    device.hardware.numa_node.reset();
    device.health.level.reset();
  }
  state.usage["npu-0"] = {};
  state.usage["npu-0"].temperature_celsius = 0;
  EXPECT_EQ(ThroughTheWire(NodeState(), state), state);
}

TEST(ConversionTest, KeepsRemovals) {
  NodeState after = FullState(2);
  after.devices.erase("npu-1");
  after.usage.clear();
  after.links.clear();
  after.allocations.clear();
  EXPECT_EQ(ThroughTheWire(FullState(1), after), after);
}

TEST(ConversionTest, KeepsEachHealthLevelAndLink) {
  for (const auto level :
       {hal::HealthLevel::kOk, hal::HealthLevel::kMinor, hal::HealthLevel::kMajor,
        hal::HealthLevel::kCritical, hal::HealthLevel::kAbsent}) {
    NodeState state = FullState(1);
    state.devices["npu-0"].health.level = level;
    EXPECT_EQ(ThroughTheWire(NodeState(), state), state) << hal::HealthLevelName(level);
  }
  for (const auto type :
       {hal::LinkType::kSystem, hal::LinkType::kPciHost, hal::LinkType::kHccs,
        hal::LinkType::kPciMulti, hal::LinkType::kPciSwitch, hal::LinkType::kSio,
        hal::LinkType::kHccsSwitch, hal::LinkType::kUb, hal::LinkType::kUnknown}) {
    NodeState state = FullState(1);
    state.links = {{0, 1, type}};
    EXPECT_EQ(ThroughTheWire(NodeState(), state), state) << hal::LinkTypeName(type);
  }
}

TEST(ConversionTest, TakesEnumeratorsOfANewerVersionForUnknown) {
  v1::Update update;
  v1::Device* const device = update.add_devices();
  device->set_id("npu-0");
  device->mutable_health()->set_level(static_cast<v1::HealthLevel>(77));
  update.mutable_topology()->add_links()->set_type(static_cast<v1::LinkType>(77));
  const NodeChange change = FromProto(update);
  EXPECT_FALSE(change.devices.at(0).health.level.has_value());
  EXPECT_EQ(change.links->at(0).type, hal::LinkType::kUnknown);
}

TEST(ConversionTest, FitsAHistogramWithOtherBoundsIntoOurs) {
  v1::Update update;
  v1::Resource* const resource = update.add_resources();
  resource->set_name("r");
  v1::Histogram* const histogram = resource->mutable_allocate_seconds();
  for (const double bound : {0.000005, 0.002, 1e9}) histogram->add_upper_bounds(bound);
  for (const uint64_t count : {1, 2, 4, 8}) histogram->add_counts(count);
  histogram->set_sum(3.5);
  const LatencyHistogram made = FromProto(update).resources.at("r").allocate;
  EXPECT_EQ(made.counts[0], 1u);
  EXPECT_EQ(made.counts[7], 2u) << "below 5 ms";
  EXPECT_EQ(made.counts.back(), 12u);
  EXPECT_DOUBLE_EQ(made.sum_seconds, 3.5);
}

}  // namespace
}  // namespace npu_ipc::device_view
