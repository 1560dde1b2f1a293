// npu-ipc-broker-bench: what an attach costs the broker, alone with few clients and among many, and
// beside clients that misbehave: as ratios of one run. JSON on standard output.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "tests/bench/bench_box.h"
#include "tests/bench/bench_broker.h"
#include "tests/bench/samples.h"
#include "tests/bench/wire_client.h"
#include "tests/fixtures/bad_neighbour.h"

namespace npu_ipc {
namespace {

using nlohmann::json;

// Attaches between two looks at the broker's clock: a look costs a system call of ours, and what
// the broker does after its answer counts too.
constexpr size_t kBatch = 10;
// Which regions are attached to.
enum class Regions {
  kEach,         // one after the other's, each of another exporter than the one before
  kOfOneClient,  // kBatch of one exporter, again and again: the others are there, and no more
};

// How often a neighbour is started and ended, and how long it is at it before anything is measured:
// it has then used up the connections that a process may make at once.
constexpr size_t kTurns = 5;
constexpr auto kSettles = std::chrono::milliseconds(250);

struct Settings {
  size_t batches = 100;
  size_t regions = 100000, clients = 2000, pods = 200;
  std::string cgroup;
};

[[noreturn]] void Fail(const std::string& reason) {
  std::cerr << reason << std::endl;
  ::_exit(1);
}

void Require(const Status& status) {
  if (!status.ok()) Fail(status.message());
}

template <class T>
T Value(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

// As sched_setattr(2) has it; Debian 12's headers of it and of the C library exclude each other.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t slice_ns = 0;  // whoever has a shorter one comes first (Linux 6.12); 0: the usual one
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};

// This process and what it starts later: on one processor, ahead of whatever else the machine does.
// To wake a process on another processor costs several times what is measured where that one is
// idle, and nothing where it is not.
void RunOnProcessor(int processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor % ::sysconf(_SC_NPROCESSORS_ONLN), &one);
  if (::sched_setaffinity(0, sizeof(one), &one) != 0) Fail("sched_setaffinity");
  SchedulingAttributes attributes;
  attributes.policy = SCHED_OTHER;
  attributes.nice = -20;
  attributes.slice_ns = 100000;
  // Where this is not allowed, the figures are those of a machine with other work.
  ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

std::string RegionName(size_t region) { return "weights/rank-" + std::to_string(region); }

// A broker whose clients, in so many pods, have published so many regions, one after the other's.
class Node {
 public:
  Node(const std::string& directory, const std::string& cgroup, size_t pods, size_t clients,
       size_t regions)
      : broker_(
            Value(BenchBroker::Start(directory, cgroup, pods + 1,  // a neighbour's, too
                                     {"--client-max-regions", std::to_string(regions / clients + 1),
                                      "--pod-max-regions", std::to_string(regions)}))),
        pods_(pods),
        clients_(clients),
        regions_(regions) {
    bytes_alone_ = broker_.ResidentBytes();
    // As many of a pod's clients as others have.
    for (size_t pod = 0; pod < std::min(pods, clients); ++pod) {
      holders_.push_back(Value(broker_.Fork(pod, [&](int control) { HoldPod(control, pod); })));
    }
    Await('c');
    bytes_of_clients_ = broker_.ResidentBytes() - bytes_alone_;
    for (size_t client = 0; client < clients_; ++client) {
      ::send(holders_[client % pods_].control(), "p", 1, MSG_NOSIGNAL);
    }
    Await('p');
    bytes_of_regions_ = broker_.ResidentBytes() - bytes_alone_ - bytes_of_clients_;
  }

  // A new process of a pod connects, and attaches on demand to kBatch regions, which it does not
  // have yet. What is null is not looked at.
  void Attach(Regions regions, size_t round, Samples* latency, Samples* cpu,
              Samples* connecting = nullptr) {
    const size_t pod = regions == Regions::kEach ? round % pods_ : round % 2;
    const BenchProcess importer =
        Value(broker_.Fork(pod, [&](int control) { RunImporter(control, regions, round); }));
    int64_t connected_within = 0;
    if (::recv(importer.control(), &connected_within, sizeof(connected_within), 0) !=
        sizeof(connected_within)) {
      Fail("an importer failed: " + broker_.Log());
    }
    if (connecting != nullptr) connecting->Add(connected_within);
    if (cpu != nullptr) broker_.WaitUntilIdle();
    const auto before = broker_.CpuTime();
    int64_t took[kBatch] = {};
    if (::send(importer.control(), "a", 1, MSG_NOSIGNAL) != 1 ||
        ::recv(importer.control(), took, sizeof(took), 0) != sizeof(took)) {
      Fail("the importer failed: " + broker_.Log());
    }
    if (cpu != nullptr) {
      broker_.WaitUntilIdle();
      cpu->Add((broker_.CpuTime() - before) / kBatch);
    }
    for (const int64_t one : took) latency->Add(one);
  }

  // A process in a pod of its own; it misbehaves until it is destroyed.
  BenchProcess StartNeighbour(Misbehaviour misbehaviour) {
    return Value(broker_.Fork(pods_, [&](int) {
      RunOnProcessor(1);
      size_t dropped = 0;
      Require(Misbehave(
          misbehaviour, broker_.socket_path(), [] { return true; }, &dropped));
    }));
  }

  json Memory() const {
    return {{"figure", "memory of the broker: resident, with " + std::to_string(clients_) +
                           " clients and " + std::to_string(regions_) + " regions"},
            {"bytes_without_clients", bytes_alone_},
            {"bytes_of_a_client", bytes_of_clients_ / clients_},
            {"bytes_of_a_region", bytes_of_regions_ / regions_}};
  }
  std::string Describe() const {
    return std::to_string(regions_) + " regions and " + std::to_string(clients_) + " clients in " +
           std::to_string(pods_) + " pods";
  }

 private:
  // A process of the pod for each of its clients; the first is the one that was forked.
  void HoldPod(int control, size_t pod) {
    for (size_t client = pod + pods_; client < clients_; client += pods_) {
      if (::fork() == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        Hold(control, client);
      }
    }
    Hold(control, pod);
  }

  // Every client hears one line, and says one before and after.
  void Hold(int control, size_t client) {
    WireClient connection = Value(WireClient::Open(broker_.socket_path()));
    ::send(control, "c", 1, MSG_NOSIGNAL);
    char line = 0;
    ::recv(control, &line, 1, 0);
    for (size_t region = client; region < regions_; region += clients_) {
      Require(connection.Publish(RegionName(region)));
    }
    ::send(control, "p", 1, MSG_NOSIGNAL);
    connection.ServeAdmits();
    ::_exit(0);
  }

  void RunImporter(int control, Regions regions, size_t round) {
    const auto begin = std::chrono::steady_clock::now();
    WireClient client = Value(WireClient::Open(broker_.socket_path()));
    const int64_t connected_within = (std::chrono::steady_clock::now() - begin).count();
    ::send(control, &connected_within, sizeof(connected_within), MSG_NOSIGNAL);
    char line = 0;
    ::recv(control, &line, 1, 0);
    int64_t took[kBatch];
    for (size_t i = 0; i < kBatch; ++i) {
      const auto start = std::chrono::steady_clock::now();
      const size_t region =
          regions == Regions::kEach ? (round * kBatch + i) * 7919 % regions_ : i * clients_;
      Require(client.Attach(RegionName(region)));
      took[i] = (std::chrono::steady_clock::now() - start).count();
    }
    ::send(control, took, sizeof(took), MSG_NOSIGNAL);
    ::recv(control, &line, 1, 0);
  }

  void Say(const BenchProcess& process, char expected) {
    char line = 0;
    if (::recv(process.control(), &line, 1, 0) != 1 || line != expected) {
      Fail("a client failed: " + broker_.Log());
    }
  }
  // One line of each client.
  void Await(char expected) {
    for (size_t client = 0; client < clients_; ++client) Say(holders_[client % pods_], expected);
    broker_.WaitUntilIdle();
  }

  BenchBroker broker_;
  const size_t pods_, clients_, regions_;
  size_t bytes_alone_ = 0, bytes_of_clients_ = 0, bytes_of_regions_ = 0;
  std::vector<BenchProcess> holders_;
};

json Statistics(const Samples& samples) {
  return {{"p50", samples.Percentile(50)}, {"p99", samples.Percentile(99)}};
}

json Figure(const std::string& name, const Samples& ours, const std::string& what,
            const Samples& against, std::optional<double> aim) {
  json figure = {{"figure", name},
                 {"against", what},
                 {"ratio", static_cast<double>(ours.Percentile(50)) /
                               static_cast<double>(against.Percentile(50))},
                 {"ours_ns", Statistics(ours)},
                 {"against_ns", Statistics(against)}};
  if (aim) figure["aim"] = *aim;
  return figure;
}

json MeasureScale(const Settings& settings) {
  RunOnProcessor(0);
  Node few("/run/few", settings.cgroup, 2, 1, 10);
  Node many("/run/many", settings.cgroup, settings.pods, settings.clients, settings.regions);
  json figures = json::array();
  for (const Regions regions : {Regions::kOfOneClient, Regions::kEach}) {
    Samples few_latency, few_cpu, many_latency, many_cpu;
    for (size_t round = 0; round < settings.batches; ++round) {
      few.Attach(regions, round, &few_latency, &few_cpu);
      many.Attach(regions, round, &many_latency, &many_cpu);
    }
    const std::string with =
        (regions == Regions::kEach ? ", to one after the other of " : ", to ten regions among ") +
        many.Describe() + ", p50";
    figures.push_back(Figure("processor time of the broker for an attach on demand" + with,
                             many_cpu, "10 regions and 2 clients", few_cpu, 1.1));
    figures.push_back(Figure("attach on demand, from the request to the grant" + with, many_latency,
                             "10 regions and 2 clients", few_latency, 1.1));
  }
  figures.push_back(many.Memory());
  return figures;
}

// Every other round beside a neighbour that is as busy, but not with the broker. It has a processor
// of its own; the others share one with the broker, so that whatever the broker does for it delays
// them.
json MeasureFairness(const Settings& settings) {
  static constexpr char kBusyElsewhere[] = "beside one that is as busy without the broker";
  json figures = json::array();
  RunOnProcessor(0);
  Node node("/run/fair", settings.cgroup, 2, 1, 10);
  size_t round = 0;
  for (const Misbehaviour misbehaviour : AllMisbehaviours()) {
    Samples beside, alone, connecting_beside, connecting_alone;
    for (size_t turn = 0; turn < kTurns; ++turn) {
      for (const bool misbehaves : {false, true}) {
        const BenchProcess neighbour =
            node.StartNeighbour(misbehaves ? misbehaviour : Misbehaviour::kBusyElsewhere);
        Samples not_counted;
        const auto settled = std::chrono::steady_clock::now() + kSettles;
        while (std::chrono::steady_clock::now() < settled) {
          node.Attach(Regions::kEach, round++, &not_counted, nullptr);
        }
        for (size_t i = 0; i < std::max<size_t>(1, settings.batches / kTurns); ++i) {
          node.Attach(Regions::kEach, round++, misbehaves ? &beside : &alone, nullptr,
                      misbehaves ? &connecting_beside : &connecting_alone);
        }
      }
    }
    figures.push_back(Figure("attach on demand beside a client that misbehaves (" +
                                 MisbehaviourName(misbehaviour) + "), p50",
                             beside, kBusyElsewhere, alone, 2.0));
    figures.push_back(
        Figure("connect to Welcome beside the same (" + MisbehaviourName(misbehaviour) + "), p50",
               connecting_beside, kBusyElsewhere, connecting_alone, std::nullopt));
  }
  return figures;
}

int Run(int argc, char** argv) {
  CLI::App app("What an attach costs the broker. Ratios of one run, as JSON. Needs root.");
  Settings settings;
  app.add_option("--batches", settings.batches, "of ten attaches")->check(CLI::Range(2, 10000));
  app.add_option("--regions", settings.regions)->check(CLI::Range(10, 1000000));
  app.add_option("--clients", settings.clients)->check(CLI::Range(2, 20000));
  app.add_option("--pods", settings.pods)->check(CLI::Range(2, 2000));
  CLI11_PARSE(app, argc, argv);
  return PrintMeasuredInNodeBox([&](const std::string& cgroup) -> Result<json> {
    settings.cgroup = cgroup;
    json figures = MeasureScale(settings);
    for (const json& figure : MeasureFairness(settings)) figures.push_back(figure);
    return json{{"figures", figures}};
  });
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) { return npu_ipc::Run(argc, argv); }
