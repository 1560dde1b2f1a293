// What /metrics says, held against the rules of Prometheus (prometheus.io: "Metric and label
// naming"; promtool check metrics: util/testutil/promlint).
#include "plugin/broker/metrics.h"

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;

struct Family {
  std::string help;
  std::string type;
  std::vector<std::string> samples;  // "{labels} value"
};

// Fails where a line is none of the format's, or comes before its family's HELP and TYPE.
std::map<std::string, Family> Parse(const std::string& text) {
  static const std::regex kHelp("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)");
  static const std::regex kType("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)");
  static const std::regex kSample(
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)((\{([a-z_]+="[^"]*",?)+\})? [-+0-9.eE]+))");
  std::map<std::string, Family> families;
  std::istringstream lines(text);
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_match(line, match, kHelp)) {
      EXPECT_TRUE(families.emplace(match[1], Family{match[2], "", {}}).second) << line;
    } else if (std::regex_match(line, match, kType)) {
      EXPECT_TRUE(families.contains(match[1])) << "no HELP: " << line;
      families[match[1]].type = match[2];
    } else if (std::regex_match(line, match, kSample)) {
      EXPECT_TRUE(families.contains(match[1])) << "no HELP and TYPE: " << line;
      families[match[1]].samples.push_back(match[2]);
    } else {
      ADD_FAILURE() << "not of the text format: " << line;
    }
  }
  return families;
}

std::set<std::string> Names(const std::map<std::string, Family>& families) {
  std::set<std::string> names;
  for (const auto& [name, family] : families) names.insert(name);
  return names;
}

TEST(Metrics, KeepPrometheusRules) {
  static const std::regex kName("npu_ipc_broker_[a-z][a-z0-9_]*");
  // Units are base units, and written out.
  static const std::regex kBadUnit(
      ".*_(ms|us|ns|msec|usec|sec|milliseconds|microseconds|nanoseconds|minutes|hours|kb|mb|gb|kib|"
      "mib|gib|kilobytes|megabytes|percent)(_total)?");
  static const std::regex kTypeInName(".*_(counter|gauge|histogram|summary)(_.*)?");
  for (const auto& [name, family] : Parse(Metrics("1.2.3").Text())) {
    EXPECT_TRUE(std::regex_match(name, kName)) << name;
    EXPECT_FALSE(std::regex_match(name, kBadUnit)) << name;
    EXPECT_FALSE(std::regex_match(name, kTypeInName)) << name;
    EXPECT_GT(family.help.size(), 10U) << name;
    EXPECT_EQ(name.ends_with("_total"), family.type == "counter") << name << " " << family.type;
    EXPECT_FALSE(name.ends_with("_count") || name.ends_with("_sum") || name.ends_with("_bucket"))
        << name;
  }
}

TEST(Metrics, AreAllThereBeforeAnythingHasHappened) {
  const std::map<std::string, Family> families = Parse(Metrics("1.2.3").Text());
  EXPECT_THAT(
      Names(families),
      IsSupersetOf({"npu_ipc_broker_build_info", "npu_ipc_broker_clients", "npu_ipc_broker_regions",
                    "npu_ipc_broker_grants", "npu_ipc_broker_waiting_attaches",
                    "npu_ipc_broker_waiting_whitelist_calls", "npu_ipc_broker_pods",
                    "npu_ipc_broker_pod_directory_ready", "npu_ipc_broker_connections_total",
                    "npu_ipc_broker_attaches_total", "npu_ipc_broker_denials_total",
                    "npu_ipc_broker_whitelist_calls_total", "npu_ipc_broker_tainted_keys_total",
                    "npu_ipc_broker_slow_clients_total", "npu_ipc_broker_api_errors_total",
                    "npu_ipc_broker_events_written_total", "npu_ipc_broker_events_dropped_total",
                    "npu_ipc_broker_waiting_events", "npu_ipc_broker_node_labels_current"}));
  for (const auto& [name, family] : families) {
    EXPECT_FALSE(family.samples.empty()) << name;
    if (family.type != "counter") continue;
    for (const std::string& sample : family.samples) EXPECT_TRUE(sample.ends_with(" 0")) << name;
  }
  EXPECT_THAT(families.at("npu_ipc_broker_build_info").samples,
              testing::ElementsAre("{version=\"1.2.3\"} 1"));
}

TEST(Metrics, SetWhatWasCountedElsewhere) {
  Metrics metrics("1.2.3");
  metrics.SetApiCounts({3, 5, 2, 4, true, ""});
  metrics.SetApiCounts({4, 6, 2, 1, true, ""});
  const std::string text = metrics.Text();
  for (const char* line :
       {"api_errors_total 4\n", "events_written_total 6\n", "events_dropped_total 2\n",
        "waiting_events 1\n", "node_labels_current 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Metrics, CountByLabel) {
  Metrics metrics("1.2.3");
  metrics.CountDenial(wire::Status::kMalformed);
  metrics.CountDenial(wire::Status::kInternal);
  metrics.CountAttach("granted");
  metrics.CountAttach(StatusName(wire::Status::kPeerLimit));
  metrics.CountWhitelistCall(wire::Status::kOk);
  const std::string text = metrics.Text();
  for (const char* line :
       {"denials_total{reason=\"malformed\"} 1\n", "denials_total{reason=\"internal\"} 1\n",
        "denials_total{reason=\"role_denied\"} 0\n", "attaches_total{result=\"granted\"} 1\n",
        "attaches_total{result=\"peer_limit\"} 1\n", "whitelist_calls_total{result=\"ok\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace npu_ipc::broker
