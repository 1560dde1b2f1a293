// npu-ipc-registry-bench: what an attach costs within the broker, with few and with many clients
// and regions, as ratios of one run. JSON on standard output.
#include <malloc.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>
#include <string.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "plugin/broker/share_registry.h"
#include "tests/bench/samples.h"

namespace npu_ipc::broker {
namespace {

using nlohmann::json;
using wire::MessageType;

// Everybody lives, may everything, and has room; what is sent is kept until the next message.
class BenchContext final : public ShareContext {
 public:
  void Send(ClientId, const void* message, size_t bytes) override {
    memcpy(last_, message, bytes);
    ++sent_;
  }
  bool HasRoom(ClientId) override { return true; }
  void DropSlow(ClientId) override {}
  bool ProcessAlive(ClientId) override { return true; }
  std::optional<std::string> Contradiction(const driver_records::MappingClaim&) override {
    return std::nullopt;
  }
  std::vector<FoundProcess> WhitelistOf(std::string_view) override { return {}; }
  bool ProcessRuns(const ProcessKey&) override { return true; }
  std::optional<ProcessKey> FindProcess(pid_t, const std::string&) override { return std::nullopt; }
  std::optional<Refusal> CheckShare(const std::string&, const std::string&,
                                    const GroupKey&) override {
    return std::nullopt;
  }
  std::optional<Refusal> CheckExport(const std::string&, uint64_t, const pods::ExportUsage&,
                                     const pods::ExportUsage&) override {
    return std::nullopt;
  }
  std::optional<pods::RevokeMode> RevokeModeOf(const std::string&) override {
    return pods::RevokeMode::kNotify;
  }
  std::optional<std::string> Contradiction(const driver_records::ExportClaim&) override {
    return std::nullopt;
  }
  void OnRevoked(ClientId, const Refusal&) override {}
  std::optional<Refusal> CheckRight(ClientId, const GroupKey&, ShareRight) override {
    return std::nullopt;
  }
  device_view::Reach ReachBetween(uint32_t, uint32_t) override { return {}; }
  void OnRefused(ClientId, const Refusal&) override {}
  void Forget(ClientId) override {}

  template <class M>
  M Last() const {
    M message;
    memcpy(&message, last_, sizeof(message));
    return message;
  }
  uint64_t sent() const { return sent_; }

 private:
  alignas(uint64_t) char last_[wire::kMaxMessageBytes];
  uint64_t sent_ = 0;
};

// Clients in pods, each of which publishes as many regions as the others; exporters and importers
// are the same.
class Node {
 public:
  Node(size_t pods, size_t clients, size_t regions) : regions_(regions) {
    for (size_t i = 0; i < clients; ++i) clients_.push_back(AddClient(i % pods));
    bytes_of_clients_ = Allocated();
    for (size_t i = 0; i < regions; ++i) {
      auto request = NewMessage<wire::Publish>(MessageType::kPublish, 1);
      PutText(request.name, Name(i));
      request.handle_kind = wire::HandleKind::kIpcKey;
      const std::string key = "key-" + std::to_string(i);
      memcpy(request.handle, key.data(), key.size());
      request.allocation_bytes = request.view_bytes = 4096;
      registry_.Publish(clients_[i % clients], kGroup, request);
    }
    bytes_of_regions_ = Allocated() - bytes_of_clients_;
    bytes_of_clients_ -= bytes_before_;
  }

  ClientId AddClient(size_t pod) {
    ClientInfo info;
    info.process = {static_cast<pid_t>(1000 + next_process_++), 1};
    info.pod_namespace = "team";
    info.pod_name = "trainer-" + std::to_string(pod);
    info.pod_cgroup_uid = info.pod_uid =
        "0c9a3a8e-1111-2222-3333-" + std::to_string(100000000000 + pod);
    info.container_id = std::string(64, 'c');
    info.container_name = "main";
    return registry_.AddClient(std::move(info));
  }

  // One attach on demand, from the request to the grant, and its end.
  std::chrono::nanoseconds Attach(ClientId importer, size_t region) {
    auto attach = NewMessage<wire::Attach>(MessageType::kAttach, 2);
    PutText(attach.name, Name(region));
    attach.wait_milliseconds = 10000;
    const auto start = std::chrono::steady_clock::now();
    registry_.Attach(importer, kGroup, attach);
    const auto admit = context_.Last<wire::Admit>();
    auto admitted = NewMessage<wire::Admitted>(MessageType::kAdmitted, admit.header.request_id);
    admitted.region_id = admit.region_id;
    admitted.importer_host_pid = admit.importer_host_pid;
    registry_.Admitted(clients_[region % clients_.size()], admitted);
    const auto took = std::chrono::steady_clock::now() - start;
    auto detached = NewMessage<wire::Detached>(MessageType::kDetached, 0);
    detached.grant_id = context_.Last<wire::Grant>().grant_id;
    registry_.Detached(importer, detached);
    return took;
  }

  static std::string Name(size_t region) { return "weights/rank-" + std::to_string(region); }
  size_t regions() const { return regions_; }
  const std::vector<ClientId>& clients() const { return clients_; }
  size_t bytes_of_clients() const { return bytes_of_clients_; }
  size_t bytes_of_regions() const { return bytes_of_regions_; }

 private:
  static size_t Allocated() { return ::mallinfo2().uordblks; }
  static ShareLimits Wide() {
    ShareLimits limits;
    limits.regions = limits.pod.regions = 1000000;
    return limits;
  }

  const GroupKey kGroup{"team", "weights"};
  BenchContext context_;
  Metrics metrics_{"bench"};
  ShareRegistry registry_{SystemClock(), Wide(), context_, metrics_};
  const size_t regions_;
  size_t next_process_ = 0;
  const size_t bytes_before_ = Allocated();
  size_t bytes_of_clients_ = 0;
  size_t bytes_of_regions_ = 0;
  std::vector<ClientId> clients_;
};

// Another region each time, spread over all of them, from an importer that it does not list yet.
void Measure(Node& node, size_t round, Samples* samples) {
  const size_t region = round * 7919 % node.regions();
  const ClientId importer = node.AddClient(0);
  samples->Add(node.Attach(importer, region));
}

json Statistics(const Samples& samples) {
  return {{"p50", samples.Percentile(50)}, {"p99", samples.Percentile(99)}};
}

int Run(int argc, char** argv) {
  CLI::App app("What an attach costs within the broker. Ratios of one run, as JSON.");
  int attaches = 5000;
  size_t regions = 100000, clients = 2000, pods = 200, fan_out = 1000;
  app.add_option("--attaches", attaches, "how many are measured")->check(CLI::Range(20, 100000));
  app.add_option("--regions", regions);
  app.add_option("--clients", clients);
  app.add_option("--pods", pods);
  CLI11_PARSE(app, argc, argv);
  // Lines are formatted, and go nowhere.
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("bench", std::make_shared<spdlog::sinks::null_sink_mt>()));

  Node few(2, 2, 10);
  Node many(pods, clients, regions);
  Samples with_few, with_many;
  for (int i = 0; i < attaches; ++i) {
    Measure(few, static_cast<size_t>(i), &with_few);
    Measure(many, static_cast<size_t>(i), &with_many);
  }
  // One region to many processes, one after the other.
  Samples fanned_out;
  for (size_t i = 0; i < fan_out; ++i) {
    fanned_out.Add(many.Attach(many.AddClient(i % pods), 0));
  }
  const json figures = {
      {{"figure", "attach within the broker with " + std::to_string(regions) + " regions and " +
                      std::to_string(clients) + " clients in " + std::to_string(pods) +
                      " pods, p50"},
       {"against", "10 regions and 2 clients"},
       {"ratio", static_cast<double>(with_many.Percentile(50)) /
                     static_cast<double>(with_few.Percentile(50))},
       {"aim", 1.1},
       {"ours_ns", Statistics(with_many)},
       {"against_ns", Statistics(with_few)}},
      {{"figure", "one region to " + std::to_string(fan_out) + " processes on demand, p50 each"},
       {"against", "attaches to many regions"},
       {"ratio", static_cast<double>(fanned_out.Percentile(50)) /
                     static_cast<double>(with_many.Percentile(50))},
       {"aim", 1.1},
       {"ours_ns", Statistics(fanned_out)}},
      {{"figure", "memory of the share registry"},
       {"bytes_of_a_client", many.bytes_of_clients() / clients},
       {"bytes_of_a_region", many.bytes_of_regions() / regions}},
  };
  std::cout << json{{"figures", figures}}.dump(2) << std::endl;
  return 0;
}

}  // namespace
}  // namespace npu_ipc::broker

int main(int argc, char** argv) { return npu_ipc::broker::Run(argc, argv); }
