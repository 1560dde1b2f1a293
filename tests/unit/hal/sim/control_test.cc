#include "hal/sim/driver/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

namespace npu_ipc::sim {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

NodeShape Node() {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string nodes = self.parent_path().parent_path().string() + "/share/npu-ipc-sim/nodes";
  Result<NodeShape> shape = LoadNodeShape("910b", nodes);
  EXPECT_TRUE(shape.ok()) << shape.status().message();
  return std::move(*shape);
}

class ControlTest : public ::testing::Test {
 protected:
  json Run(const json& request) { return json::parse(control_.Run(request.dump())); }
  std::string ErrorOf(const json& request) { return Run(request).value("error", "none"); }

  Driver driver_{Node(), [] { return uint64_t{0}; }, nullptr};
  int changes_ = 0;
  Control control_{driver_, [this] { ++changes_; }};
};

TEST_F(ControlTest, ShowsWhatWasSet) {
  EXPECT_EQ(Run({{"command", "set"},
                 {"device", 3},
                 {"health", "major"},
                 {"temperature", 91},
                 {"utilization", 70},
                 {"memory_bandwidth", 30},
                 {"extra_memory", 1 << 30}}),
            json({{"ok", true}}));
  EXPECT_EQ(changes_, 1);
  const json device = Run({{"command", "show"}})["devices"][3];
  EXPECT_EQ(device["health"], "major");
  EXPECT_EQ(device["temperature"], 91);
  EXPECT_EQ(device["utilization"], 70);
  EXPECT_EQ(device["memory_bandwidth"], 30);
  EXPECT_EQ(device["memory_used"], 1 << 30);
  EXPECT_EQ(device["logical_id"], 3);
  EXPECT_EQ(Run({{"command", "show"}})["devices"][2]["health"], "ok");
  Run({{"command", "set"}, {"device", 3}, {"health", "auto"}});
  EXPECT_EQ(Run({{"command", "show"}})["devices"][3]["health"], "ok");
  EXPECT_EQ(Run({{"command", "show"}})["devices"][3]["temperature"], 91);
}

TEST_F(ControlTest, FaultsComeAndGoAndAreTold) {
  std::vector<FaultAssertion> told;
  driver_.conditions().OnFault(
      [&](uint32_t, const Fault&, FaultAssertion assertion) { told.push_back(assertion); });
  Run({{"command", "inject"}, {"device", 1}, {"code", "0x80e18005"}, {"severity", "minor"}});
  Run({{"command", "inject"}, {"device", 1}, {"code", "0x80e18006"}});
  Run({{"command", "report"}, {"device", 1}, {"code", "0x1"}});
  json device = Run({{"command", "show"}})["devices"][1];
  EXPECT_EQ(device["health"], "critical");
  ASSERT_EQ(device["faults"].size(), 2U);
  EXPECT_EQ(device["faults"][0]["code"], "0x80e18005");
  EXPECT_EQ(device["faults"][0]["severity"], "minor");
  Run({{"command", "clear"}, {"device", 1}, {"code", "0x80e18006"}});
  EXPECT_EQ(Run({{"command", "show"}})["devices"][1]["health"], "minor");
  Run({{"command", "clear"}, {"device", 1}});
  EXPECT_EQ(Run({{"command", "show"}})["devices"][1]["health"], "ok");
  EXPECT_THAT(told, ::testing::ElementsAre(FaultAssertion::kRaised, FaultAssertion::kRaised,
                                           FaultAssertion::kOccurred, FaultAssertion::kCleared,
                                           FaultAssertion::kCleared));
}

TEST_F(ControlTest, ADeviceGoesAndComesBack) {
  Run({{"command", "remove"}, {"device", 0}});
  json devices = Run({{"command", "show"}})["devices"];
  EXPECT_EQ(devices[0]["present"], false);
  EXPECT_TRUE(devices[0]["logical_id"].is_null());
  EXPECT_EQ(devices[1]["logical_id"], 0);
  EXPECT_THAT(ErrorOf({{"command", "remove"}, {"device", 0}}), HasSubstr("not there"));
  Run({{"command", "restore"}, {"device", 0}, {"logical_id", 7}});
  devices = Run({{"command", "show"}})["devices"];
  EXPECT_EQ(devices[0]["logical_id"], 7);
  EXPECT_EQ(devices[7]["logical_id"], 6);
}

TEST_F(ControlTest, DcmisTroubleIsOfADeviceOrOfAllCalls) {
  Run({{"command", "dcmi"}, {"device", 2}, {"code", -8012}});
  Run({{"command", "dcmi"}, {"hang", 1}});
  const json state = Run({{"command", "show"}});
  EXPECT_EQ(state["devices"][2]["dcmi"], json({{"hang", false}, {"code", -8012}}));
  EXPECT_EQ(state["dcmi"], json({{"hang", true}, {"code", 0}}));
}

TEST_F(ControlTest, BadRequestsSayWhatIsAcceptedAndChangeNothing) {
  const json before = Run({{"command", "show"}});
  EXPECT_THAT(control_.Run("{"), HasSubstr("not JSON"));
  EXPECT_THAT(control_.Run("7"), HasSubstr("expected an object"));
  EXPECT_THAT(ErrorOf({{"command", "explode"}}), HasSubstr("show, set, inject"));
  EXPECT_THAT(ErrorOf({{"command", "set"}, {"device", 8}}), HasSubstr("from 0 to 7"));
  EXPECT_THAT(ErrorOf({{"command", "set"}, {"device", 0}, {"health", "bad"}}),
              HasSubstr("ok, minor, major, critical, absent or auto"));
  EXPECT_THAT(ErrorOf({{"command", "set"}, {"device", 0}, {"health", "major"}, {"colour", 1}}),
              HasSubstr("colour"));
  EXPECT_THAT(ErrorOf({{"command", "inject"}, {"device", 0}, {"code", 5}}),
              AllOf(HasSubstr("code"), HasSubstr("0x1f")));
  EXPECT_THAT(ErrorOf({{"command", "inject"}, {"device", 0}, {"code", "0x5"}, {"severity", "x"}}),
              HasSubstr("notice, minor, major or critical"));
  EXPECT_THAT(ErrorOf({{"command", "clear"}, {"device", 0}, {"code", "0x5"}}),
              HasSubstr("no such fault"));
  EXPECT_THAT(ErrorOf({{"command", "restore"}, {"device", 0}}), HasSubstr("is there"));
  EXPECT_THAT(ErrorOf({{"command", "dcmi"}, {"code", 5}}), HasSubstr("-8255 to 0"));
  EXPECT_EQ(Run({{"command", "show"}}), before);
}

}  // namespace
}  // namespace npu_ipc::sim
