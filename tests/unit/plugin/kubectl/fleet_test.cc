#include "plugin/kubectl/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npu_ipc::kubectl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json Pod(const std::string& name, const std::string& node, const json& state,
         const std::string& container = "npu-ipc-broker") {
  return {
      {"metadata", {{"namespace", "npu-system"}, {"name", name}}},
      {"spec", {{"nodeName", node}, {"containers", {{{"name", container}}}}}},
      {"status",
       {{"phase", "Running"}, {"containerStatuses", {{{"name", container}, {"state", state}}}}}}};
}

const json kRunning = {{"running", json::object()}};

TEST(DaemonPods, AreThoseWithABroker) {
  const auto daemons = ReadDaemonPods(
      {{"items",
        {Pod("b", "node-b", kRunning), Pod("a", "node-a", kRunning),
         Pod("other", "node-c", kRunning, "simulator"), Pod("unscheduled", "", kRunning)}}});
  ASSERT_EQ(daemons.size(), 2U);
  EXPECT_EQ(daemons[0].node, "node-a");
  EXPECT_EQ(daemons[0].problem, "");
  EXPECT_FALSE(daemons[0].has_device_plugin);
}

TEST(DaemonPods, OneThatRunsCountsWhereThereAreTwo) {
  const json crashing = {{"waiting", {{"reason", "CrashLoopBackOff"}}}};
  const auto daemons =
      ReadDaemonPods({{"items", {Pod("old", "node-a", crashing), Pod("new", "node-a", kRunning)}}});
  ASSERT_EQ(daemons.size(), 1U);
  EXPECT_EQ(daemons[0].name, "new");
  EXPECT_THAT(ReadDaemonPods({{"items", {Pod("old", "node-a", crashing)}}})[0].problem,
              HasSubstr("waiting (CrashLoopBackOff)"));
}

TEST(DaemonPods, NonsenseIsNobody) {
  EXPECT_TRUE(ReadDaemonPods(json()).empty());
  EXPECT_TRUE(ReadDaemonPods({{"items", {1, "x", json::object()}}}).empty());
}

TEST(Documents, AreOfTheVersionThatIsRead) {
  const auto read = [](const std::string& output) {
    Outcome outcome;
    outcome.exit_code = 0;
    outcome.output = output;
    return ReadDocument(outcome);
  };
  EXPECT_TRUE(read(R"({"apiVersion":"diagnostics.npu-ipc.io/v1"})").ok());
  EXPECT_THAT(read(R"({"apiVersion":"diagnostics.npu-ipc.io/v2"})").status().message(),
              HasSubstr("use the plugin of the broker's release"));
  EXPECT_FALSE(read("").ok());
  EXPECT_FALSE(read("[]").ok());
  EXPECT_FALSE(read(R"({"apiVersion":1})").ok());
  Outcome failed;
  failed.exit_code = 1;
  failed.error = "Defaulted container\nerror: unable to upgrade connection\n";
  EXPECT_EQ(ReadDocument(failed).status().message(), "error: unable to upgrade connection");
}

TEST(ReadDaemonPods, ReadsWhetherTheBrokerIsReadyAndWhereItSaysSo) {
  const auto read = [](const nlohmann::json& status) {
    return ReadDaemonPods({{"items",
                            {{{"spec",
                               {{"nodeName", "a"},
                                {"containers",
                                 {{{"name", "npu-ipc-broker"},
                                   {"ports", {{{"name", "http"}, {"containerPort", 9600}}}}}}}}},
                              {"status", {{"containerStatuses", {status}}}}}}}})
        .at(0);
  };
  nlohmann::json status = {{"name", "npu-ipc-broker"},
                           {"state", {{"running", nlohmann::json::object()}}},
                           {"ready", true}};
  EXPECT_TRUE(read(status).ready);
  EXPECT_EQ(read(status).http_port, 9600);
  status["ready"] = false;
  EXPECT_FALSE(read(status).ready);
  EXPECT_EQ(read(status).problem, "") << "it answers all the same";
}

}  // namespace
}  // namespace npu_ipc::kubectl
