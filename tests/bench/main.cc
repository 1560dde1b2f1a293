// npu-ipc-bench: what sharing costs beside doing it by hand, as ratios of one run. JSON on standard
// output.
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <map>
#include <sstream>

#include <CLI/CLI.hpp>

#include "hal/base/process.h"
#include "tests/bench/bench_box.h"
#include "tests/bench/party.h"
#include "tests/bench/relay.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {
namespace {

using nlohmann::json;

// Puts vendor libraries that do nothing before the simulator's.
std::map<std::string, std::string> NothingEnvironment(bool exporter) {
  return {{"LD_LIBRARY_PATH", "/bench-vendor:/usr/local/lib/npu-ipc"},
          {"BENCH_PHYSICAL_DEVICE", exporter ? "0" : "1"}};
}

constexpr char kSharedDirectory[] = "/run/npu/bench";  // what the parties see as /bench

struct Settings {
  int attaches = 300;
  std::string cgroup;
};

// What a party said of one kind of operation: "sample NAME p50=... p99=... n=...".
json ParseSample(const std::string& line) {
  json sample = json::object();
  std::istringstream words(line);
  std::string word;
  words >> word >> word;
  while (words >> word) {
    const size_t equals = word.find('=');
    sample[word.substr(0, equals)] = std::stoll(word.substr(equals + 1));
  }
  return sample;
}

Result<std::map<std::string, json>> ReadSamples(Container& importer) {
  std::map<std::string, json> samples;
  for (;;) {
    const Result<std::string> line = importer.process().ReadLine(std::chrono::minutes(2));
    if (line.ok()) {
      std::istringstream words(*line);
      std::string kind, name;
      words >> kind >> name;
      samples[name] = ParseSample(*line);
      continue;
    }
    const Result<int> code = importer.process().Wait();
    if (code.ok() && *code == 0) return samples;
    const Result<std::string> said = ReadFile(importer.error_file());
    return Status(StatusCode::kInternal, "the importer failed: " + (said.ok() ? *said : ""));
  }
}

// One exporter and one importer in pods of their own, with the simulator's vendor libraries or with
// ones that do nothing.
Result<std::map<std::string, json>> RunParties(TestNode& node, const Settings& settings,
                                               bool vendor_calls_do_nothing) {
  const PodRecord exporter = {"bench", "exporter", RandomUid(), {{"npu-ipc.io/group", "bench"}}};
  const PodRecord importer = {"bench", "importer", RandomUid(), {{"npu-ipc.io/group", "bench"}}};
  if (Status set = node.SetPods({exporter, importer}); !set.ok()) return set;
  const Result<json> devices = node.Devices();
  if (!devices.ok()) return devices.status();
  const std::string count = std::to_string(settings.attaches);
  const auto relay = Relay::Start(kSharedDirectory + std::string(kRelayExporterSocket),
                                  kSharedDirectory + std::string(kRelayImporterSocket));
  if (!relay.ok()) return relay.status();
  std::unique_ptr<Container> containers[2];
  for (const bool exports : {true, false}) {
    const std::string device = devices->at("devices").at(exports ? 0 : 1).at("id");
    Result<json> allocation = node.Allocate({device});
    if (!allocation.ok()) return allocation.status();
    allocation->at("mounts").push_back(
        {{"container_path", "/bench"}, {"host_path", kSharedDirectory}, {"read_only", false}});
    if (vendor_calls_do_nothing) {
      allocation->at("mounts").push_back({{"container_path", "/bench-vendor"},
                                          {"host_path", ThisBuild().libraries + "/bench-vendor"},
                                          {"read_only", true}});
    }
    auto started = node.Run(exports ? exporter : importer, *allocation,
                            {"/usr/local/lib/npu-ipc-tests/npu-ipc-bench",
                             exports ? "--exporter" : "--importer", "--attaches", count},
                            vendor_calls_do_nothing ? NothingEnvironment(exports)
                                                    : std::map<std::string, std::string>());
    if (!started.ok()) return started.status();
    containers[exports ? 0 : 1] = std::move(*started);
    if (exports) {
      const auto ready = containers[0]->process().ReadLineStartingWith("ready");
      if (!ready.ok()) {
        const Result<std::string> said = ReadFile(containers[0]->error_file());
        return ready.status().WithContext("the exporter: " + (said.ok() ? *said : ""));
      }
    }
  }
  return ReadSamples(*containers[1]);
}

json Figure(const std::string& name, const json& ours, const json& against, double aim,
            const std::string& what) {
  const double ratio = ours.at("p50").get<double>() / against.at("p50").get<double>();
  return {{"figure", name},  {"ratio", ratio},  {"aim", aim},
          {"against", what}, {"ours_ns", ours}, {"against_ns", against}};
}

Result<json> Measure(const Settings& settings) {
  TestNode::Options options;
  options.cgroup = settings.cgroup;
  // Of vendor calls that do nothing the driver has no records.
  options.driver_records = false;
  // As many regions a process as are measured.
  options.broker_flags = {"--client-max-regions", std::to_string(2 * settings.attaches + 1),
                          "--client-max-admitted-ahead", std::to_string(settings.attaches)};
  auto node = TestNode::Start(options);
  if (!node.ok()) return node.status();
  std::error_code error;
  std::filesystem::create_directories(kSharedDirectory, error);
  json figures = json::array();
  for (const bool nothing : {false, true}) {
    const auto samples = RunParties(**node, settings, nothing);
    if (!samples.ok()) {
      std::cerr << (*node)->Log("broker") << std::endl;
      return samples.status();
    }
    const std::string suffix = nothing ? ", vendor calls that do nothing" : "";
    figures.push_back(Figure("attach with whitelisting on demand, p50" + suffix,
                             samples->at("attach"), samples->at("plain"), 1.5,
                             "pid and key exchanged over a socket of the two processes' own"));
    figures.push_back(Figure("attach with whitelisting on demand, p50, beside a relay" + suffix,
                             samples->at("attach"), samples->at("relayed"), 1.5,
                             "the same exchange through a third process that only passes it on"));
    figures.push_back(Figure("attach to a region subscribed to ahead, p50" + suffix,
                             samples->at("subscribed"), samples->at("raw"), 1.2,
                             "one raw round trip to the exporter, whitelisted before"));
    if (!nothing) {
      figures.push_back(Figure("copy from attached memory, p50", samples->at("copy_attached"),
                               samples->at("copy_own"), 1.0,
                               "the same copy from the process' own memory"));
    }
  }
  return json{{"figures", figures}};
}

int Run(int argc, char** argv) {
  CLI::App app(
      "What sharing costs beside doing it by hand. Ratios of one run, as JSON. Needs root.");
  Settings settings;
  bool exporter = false, importer = false;
  app.add_option("--attaches", settings.attaches, "how many are measured")
      ->check(CLI::Range(20, 5000))
      ->capture_default_str();
  app.add_flag("--exporter", exporter)->group("");  // the parties: this program again, in a pod
  app.add_flag("--importer", importer)->group("");
  CLI11_PARSE(app, argc, argv);
  if (exporter) return RunBenchExporter(settings.attaches, "/bench");
  if (importer) return RunBenchImporter(settings.attaches, "/bench");
  return PrintMeasuredInNodeBox([&](const std::string& cgroup) {
    settings.cgroup = cgroup;
    return Measure(settings);
  });
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) { return npu_ipc::Run(argc, argv); }
