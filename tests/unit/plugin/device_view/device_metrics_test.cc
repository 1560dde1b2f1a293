#include "plugin/device_view/device_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "tests/unit/plugin/device_view/states.h"

namespace npu_ipc::device_view {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr TimePoint kNow{seconds(1000)};

View FullView() {
  View view;
  view.state = std::make_shared<const NodeState>(FullState(3));
  view.received = kNow - seconds(4);
  view.connected = true;
  return view;
}

TEST(DeviceMetricsTest, SaysThatThereIsNoView) {
  const std::string text = DeviceMetricsText(View(), kNow);
  EXPECT_THAT(text, HasSubstr("npu_ipc_device_view_up 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("npu_ipc_device_view_age_seconds")));
  EXPECT_THAT(text, Not(HasSubstr("npu_ipc_devices")));
}

TEST(DeviceMetricsTest, WritesWhatIsKnown) {
  const std::string text = DeviceMetricsText(FullView(), kNow);
  for (const char* line : {
           "npu_ipc_device_view_up 1\n",
           "npu_ipc_device_view_age_seconds 4\n",
           "npu_ipc_device_plugin_build_info{version=\"0.1.0\"} 1\n",
           "npu_ipc_device_driver_up 0\n",
           "npu_ipc_device_driver_info{version=\"24.1.rc3\"} 1\n",
           "npu_ipc_devices{health=\"healthy\",resource=\"huawei.com/Ascend910C\"} 0\n",
           "npu_ipc_devices{health=\"unhealthy\",resource=\"huawei.com/Ascend910C\"} 4\n",
           "npu_ipc_device_healthy{device=\"npu-2\"} 0\n",
           "npu_ipc_device_faults{device=\"npu-2\"} 2\n",
           "npu_ipc_device_health_changes_total{device=\"npu-2\"} 1\n",
           "npu_ipc_device_hbm_capacity_bytes{device=\"npu-2\"} 68719476736\n",
           "npu_ipc_device_hbm_used_bytes{device=\"npu-2\"} 34359738368\n",
           "npu_ipc_device_hbm_bandwidth_ratio{device=\"npu-2\"} 0.2\n",
           "npu_ipc_device_temperature_celsius{device=\"npu-2\"} -5\n",
           "npu_ipc_device_utilization_ratio{device=\"npu-2\"} 0.97\n",
           "npu_ipc_device_allocated{container=\"main\",device=\"npu-1\",namespace=\"default\","
           "pod=\"pod\"} 1\n",
           "npu_ipc_device_allocations{resource=\"huawei.com/Ascend910C\"} 1\n",
           "npu_ipc_device_allocate_failures_total{resource=\"huawei.com/Ascend910C\"} 1\n",
           "npu_ipc_device_registrations_total{resource=\"huawei.com/Ascend910C\"} 3\n",
           "npu_ipc_device_allocate_duration_seconds_count{resource=\"huawei.com/Ascend910C\"} 2\n",
           "npu_ipc_device_allocate_duration_seconds_bucket{resource=\"huawei.com/Ascend910C\","
           "le=\"10\"} 1\n",
           "npu_ipc_device_allocate_duration_seconds_bucket{resource=\"huawei.com/Ascend910C\","
           "le=\"+Inf\"} 2\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(DeviceMetricsTest, DoesNotMakeUpAVersion) {
  NodeState state = FullState(3);
  state.facts.plugin_version.clear();
  View view = FullView();
  view.state = std::make_shared<const NodeState>(state);
  EXPECT_THAT(DeviceMetricsText(view, kNow), Not(HasSubstr("npu_ipc_device_plugin_build_info")));
}

TEST(DeviceMetricsTest, HasTheResourcesOfThisProcessToo) {
  ResourceStatistics share;
  share.registrations = 2;
  share.allocate.Observe(0.00002);
  const std::map<std::string, ResourceStatistics> own = {{"npu-ipc.io/share", share}};
  for (const View& view : {View(), FullView()}) {
    const std::string text = DeviceMetricsText(view, kNow, own);
    for (const char* line :
         {"npu_ipc_device_registrations_total{resource=\"npu-ipc.io/share\"} 2\n",
          "npu_ipc_device_allocate_failures_total{resource=\"npu-ipc.io/share\"} 0\n",
          "npu_ipc_device_allocate_duration_seconds_count{resource=\"npu-ipc.io/share\"} 1\n"}) {
      EXPECT_THAT(text, HasSubstr(line));
    }
    const std::string help = "# HELP npu_ipc_device_registrations_total ";
    EXPECT_EQ(text.find(help), text.rfind(help)) << "described twice";
  }
}

// Every metric that a dashboard of this node's devices may count on.
TEST(DeviceMetricsTest, HasAllThatItShould) {
  const std::string text = DeviceMetricsText(FullView(), kNow);
  for (const char* name : {"device_view_up",
                           "device_view_age_seconds",
                           "device_driver_up",
                           "device_driver_info",
                           "devices",
                           "device_info",
                           "device_healthy",
                           "device_faults",
                           "device_health_changes_total",
                           "device_hbm_capacity_bytes",
                           "device_hbm_used_bytes",
                           "device_hbm_bandwidth_ratio",
                           "device_temperature_celsius",
                           "device_hbm_temperature_celsius",
                           "device_utilization_ratio",
                           "device_vector_core_utilization_ratio",
                           "device_ai_cpu_utilization_ratio",
                           "device_allocations",
                           "device_allocated",
                           "device_allocate_duration_seconds",
                           "device_allocate_failures_total",
                           "device_registrations_total"}) {
    EXPECT_THAT(text, HasSubstr(std::string("# HELP npu_ipc_") + name + " "));
    EXPECT_THAT(text, HasSubstr(std::string("# TYPE npu_ipc_") + name + " "));
  }
}

TEST(DeviceMetricsTest, LeavesOutWhatTheDriverDoesNotAnswer) {
  NodeState state = FullState(3);
  state.usage["npu-1"].temperature_celsius.reset();
  View view = FullView();
  view.state = std::make_shared<const NodeState>(state);
  const std::string text = DeviceMetricsText(view, kNow);
  EXPECT_THAT(text, Not(HasSubstr("npu_ipc_device_temperature_celsius{device=\"npu-1\"}")));
  EXPECT_THAT(text, HasSubstr("npu_ipc_device_temperature_celsius{device=\"npu-0\"}"));
}

TEST(DeviceMetricsTest, SaysWhichDevicesMayBeSharedWhereThatWasAsked) {
  NodeState state = FullState(3);
  for (auto& [id, device] : state.devices) device.device_share.reset();
  state.devices.at("npu-0").device_share = true;
  state.devices.at("npu-1").device_share = false;
  View view = FullView();
  view.state = std::make_shared<const NodeState>(state);
  const std::string text = DeviceMetricsText(view, kNow);
  EXPECT_THAT(text, HasSubstr("npu_ipc_device_share_enabled{device=\"npu-0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("npu_ipc_device_share_enabled{device=\"npu-1\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("npu_ipc_device_share_enabled{device=\"npu-2\"}")));
}

TEST(DeviceMetricsTest, CountsTheReplicasOfADeviceThatAContainerHas) {
  NodeState state = FullState(3);
  state.allocations[4].device_ids = {"npu-1::0", "npu-1::2"};
  View view = FullView();
  view.state = std::make_shared<const NodeState>(state);
  EXPECT_THAT(DeviceMetricsText(view, kNow),
              HasSubstr("npu_ipc_device_allocated{container=\"main\",device=\"npu-1\","
                        "namespace=\"default\",pod=\"pod\"} 2\n"));
}

// The rules of `promtool check metrics` that text can break.
TEST(DeviceMetricsTest, PassesTheRulesForNamesUnitsAndHelp) {
  std::map<std::string, std::string> types;
  std::set<std::string> helped;
  std::istringstream lines(DeviceMetricsText(FullView(), kNow));
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string hash, kind, name, type;
    words >> hash >> kind >> name >> type;
    if (hash != "#") continue;
    if (kind == "HELP") {
      EXPECT_FALSE(type.empty()) << line;
      helped.insert(name);
    } else {
      EXPECT_TRUE(types.emplace(name, type).second) << name << " is there twice";
    }
  }
  EXPECT_GT(types.size(), 20u) << "the test reads too little";
  for (const auto& [name, type] : types) {
    EXPECT_TRUE(helped.contains(name)) << name << " has no HELP";
    EXPECT_TRUE(name.starts_with("npu_ipc_device")) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos);
    EXPECT_EQ(type == "counter", name.ends_with("_total")) << name;
    if (type != "histogram") {
      for (const char* reserved : {"_count", "_sum", "_bucket"}) {
        EXPECT_FALSE(name.ends_with(reserved)) << name;
      }
    }
    // Base units, and never a type or an abbreviation in the name.
    for (const char* bad : {"milliseconds", "_ms", "kilobytes", "megabytes", "percent", "gauge",
                            "counter", "histogram", "_sec_"}) {
      EXPECT_EQ(name.find(bad), std::string::npos) << name;
    }
  }
}

}  // namespace
}  // namespace npu_ipc::device_view
