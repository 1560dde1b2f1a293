// What Prometheus' own linter says of the metrics of a whole node.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "hal/base/process.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {
namespace {

using testing::HasSubstr;

struct Verdict {
  int exit_code = -1;
  std::string said;
};

std::string Promtool() {
  auto build = ChildProcess::Start({.arguments = {NPU_IPC_BUILD_PROMTOOL}});
  EXPECT_TRUE(build.ok()) << build.status().message();
  if (!build.ok()) return "";
  const Result<std::string> path = build->ReadLine();
  EXPECT_TRUE(path.ok()) << path.status().message();
  return path.ok() ? *path : "";
}

Verdict Lint(const std::string& metrics) {
  static constexpr char kMetrics[] = "/run/metrics";
  static constexpr char kSaid[] = "/run/promtool.log";
  std::ofstream(kMetrics) << metrics;
  ChildProcess::Options options;
  options.arguments = {Promtool(), "check", "metrics"};
  options.error_file = kSaid;
  options.before_exec = [] { ::dup2(::open(kMetrics, O_RDONLY), STDIN_FILENO); };
  auto promtool = ChildProcess::Start(options);
  EXPECT_TRUE(promtool.ok()) << promtool.status().message();
  if (!promtool.ok()) return {};
  const Result<int> code = promtool->Wait();
  EXPECT_TRUE(code.ok()) << code.status().message();
  const Result<std::string> said = ReadFile(kSaid);
  return {code.ok() ? *code : -1, said.ok() ? *said : ""};
}

TEST(Promtool, SeesAMetricWithoutHelpOrUnit) {
  const Verdict verdict = Lint("# TYPE latency_milliseconds gauge\nlatency_milliseconds 1\n");
  EXPECT_NE(verdict.exit_code, 0);
  EXPECT_THAT(verdict.said, HasSubstr("no help text"));
}

TEST(Promtool, FindsNothingWrongWithABrokerThatFollowsADevicePlugin) {
  TestNode::Options options;
  options.cgroup = ::getenv("NPU_IPC_TEST_CGROUP");
  auto node = TestNode::Start(options);
  ASSERT_TRUE(node.ok()) << node.status().message();
  const Result<int> port = (*node)->BrokerHttpPort();
  ASSERT_TRUE(port.ok()) << port.status().message();

  httplib::Client client("127.0.0.1", *port);
  std::string metrics;
  // The node's devices are in it, so those metrics are judged too.
  ASSERT_TRUE(WaitUntil([&] {
    const httplib::Result answer = client.Get("/metrics");
    if (answer) metrics = answer->body;
    return metrics.find("temperature") != std::string::npos;
  })) << metrics;
  const Verdict verdict = Lint(metrics);
  EXPECT_EQ(verdict.exit_code, 0) << verdict.said;
  EXPECT_EQ(verdict.said, "");
}

}  // namespace
}  // namespace npu_ipc
