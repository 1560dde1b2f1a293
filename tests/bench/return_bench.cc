// npu-ipc-return-bench: how long after a broker's return every client is back. JSON on standard
// output.
#include <httplib.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "acl/acl.h"
#include "npu_ipc.h"
#include "tests/bench/bench_box.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr uint64_t kRegionBytes = 2u << 20;

struct Settings {
  int pods = 8;      // a device of the node each
  int clients = 12;  // of one process, in one pod; half of them import
  int restarts = 5;
  std::string cgroup;
};

void Check(int64_t code, const char* call) {
  if (code == 0) return;
  std::cerr << call << " failed with " << code << std::endl;
  ::exit(1);
}

npu_ipc_client* OpenClient() {
  npu_ipc_client* client = nullptr;
  Check(npu_ipc_open(nullptr, &client), "npu_ipc_open");
  return client;
}

// A process in a pod: publishes a region a client, waits for a line, attaches to as many of the
// next pod, and holds them until its input ends.
int Hold(const Settings& settings, int pod) {
  Check(aclInit(nullptr), "aclInit");
  Check(aclrtSetDevice(0), "aclrtSetDevice");
  const int half = settings.clients / 2;
  const auto name = [](int of_pod, int i) {
    return "r" + std::to_string(of_pod) + "-" + std::to_string(i);
  };
  for (int i = 0; i < half; ++i) {
    void* dev_ptr = nullptr;
    Check(aclrtMalloc(&dev_ptr, kRegionBytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    npu_ipc_region* region = nullptr;
    Check(npu_ipc_publish(OpenClient(), name(pod, i).c_str(), dev_ptr, kRegionBytes, nullptr,
                          &region),
          "npu_ipc_publish");
  }
  std::cout << "published" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  for (int i = 0; i < half; ++i) {
    npu_ipc_mapping* mapping = nullptr;
    Check(
        npu_ipc_attach(OpenClient(), name((pod + 1) % settings.pods, i).c_str(), nullptr, &mapping),
        "npu_ipc_attach");
  }
  std::cout << "attached" << std::endl;
  while (std::getline(std::cin, line)) {
  }
  return 0;
}

double Metric(const std::string& text, const std::string& name) {
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : ::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

// Whether the broker knows that many regions, and mappings whose exporters are back.
bool AllBack(int port, int count) {
  httplib::Client client("127.0.0.1", port);
  const httplib::Result answer = client.Get("/metrics");
  return answer && Metric(answer->body, "npu_ipc_broker_regions") == count &&
         Metric(answer->body, "npu_ipc_broker_grants") == count;
}

Result<std::vector<std::unique_ptr<Container>>> StartHolders(TestNode& node,
                                                             const Settings& settings) {
  std::vector<PodRecord> pods;
  for (int i = 0; i < settings.pods; ++i) {
    pods.push_back(
        {"bench", "holder-" + std::to_string(i), RandomUid(), {{"npu-ipc.io/group", "bench"}}});
  }
  if (Status set = node.SetPods(pods); !set.ok()) return set;
  const Result<json> devices = node.Devices();
  if (!devices.ok()) return devices.status();
  std::vector<std::unique_ptr<Container>> holders;
  for (int i = 0; i < settings.pods; ++i) {
    const json& listed = devices->at("devices");
    const Result<json> allocation = node.Allocate({listed.at(i % listed.size()).at("id")});
    if (!allocation.ok()) return allocation.status();
    auto started = node.Run(
        pods[i], *allocation,
        {"/usr/local/lib/npu-ipc-tests/npu-ipc-return-bench", "--hold", std::to_string(i), "--pods",
         std::to_string(settings.pods), "--clients", std::to_string(settings.clients)});
    if (!started.ok()) return started.status();
    holders.push_back(std::move(*started));
  }
  for (const char* step : {"published", "attached"}) {
    for (const auto& holder : holders) {
      const auto said = holder->process().ReadLineStartingWith(step);
      if (!said.ok()) return said.status().WithContext(step);
    }
    for (const auto& holder : holders) {
      if (Status told = holder->process().WriteLine("go"); !told.ok()) return told;
    }
  }
  return holders;
}

Result<double> SecondsUntilAllAreBack(TestNode& node, int count) {
  node.broker().Signal(SIGKILL);
  if (const Result<int> ended = node.broker().Wait(); !ended.ok()) return ended.status();
  // Away for a while, so that the clients' attempts are as far apart as they get.
  WaitUntil([] { return false; }, std::chrono::seconds(2));
  if (Status started = node.StartBroker(); !started.ok()) return started;
  const auto returned = Clock::now();
  // The socket is there before the broker has logged its port: until then the log has another.
  const auto all_back = [&] {
    const Result<int> port = node.BrokerHttpPort();
    return port.ok() && AllBack(*port, count);
  };
  if (!WaitUntil(all_back)) {
    return Status(StatusCode::kDeadlineExceeded, "not all clients came back");
  }
  return std::chrono::duration<double>(Clock::now() - returned).count();
}

Result<json> Measure(const Settings& settings) {
  TestNode::Options options;
  options.cgroup = settings.cgroup;
  options.broker_flags = {"--client-max-connections", std::to_string(settings.clients)};
  auto node = TestNode::Start(options);
  if (!node.ok()) return node.status();
  const auto holders = StartHolders(**node, settings);
  if (!holders.ok()) return holders.status();
  std::vector<double> seconds;
  for (int i = 0; i < settings.restarts; ++i) {
    const Result<double> one =
        SecondsUntilAllAreBack(**node, settings.pods * (settings.clients / 2));
    if (!one.ok()) return one.status();
    seconds.push_back(*one);
  }
  std::sort(seconds.begin(), seconds.end());
  return json{{"figures",
               {{{"figure", "broker serves again to all clients back, with regions and mappings"},
                 {"clients", settings.pods * settings.clients},
                 {"seconds", seconds[seconds.size() / 2]},
                 {"worst_seconds", seconds.back()},
                 {"aim_seconds", 1.0}}}}};
}

int Run(int argc, char** argv) {
  CLI::App app("How long after a broker's return every client is back, as JSON. Needs root.");
  Settings settings;
  int hold = -1;
  app.add_option("--pods", settings.pods)->check(CLI::Range(2, 8))->capture_default_str();
  app.add_option("--clients", settings.clients, "of each pod")
      ->check(CLI::Range(2, 200))
      ->capture_default_str();
  app.add_option("--restarts", settings.restarts)->check(CLI::Range(1, 100));
  app.add_option("--hold", hold)->group("");  // the clients: this program again, in a pod
  CLI11_PARSE(app, argc, argv);
  if (hold >= 0) return Hold(settings, hold);
  return PrintMeasuredInNodeBox([&](const std::string& cgroup) {
    settings.cgroup = cgroup;
    return Measure(settings);
  });
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) { return npu_ipc::Run(argc, argv); }
