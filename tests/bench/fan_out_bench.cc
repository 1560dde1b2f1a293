// npu-ipc-fan-out-bench: one region to very many processes at once, on demand: the real library,
// broker and exporter, with the simulator's vendor libraries. JSON on standard output.
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "acl/acl.h"
#include "hal/base/process.h"
#include "npu_ipc.h"
#include "tests/bench/bench_box.h"
#include "tests/bench/samples.h"
#include "tests/fixtures/test_node.h"

namespace npu_ipc {
namespace {

using nlohmann::json;

constexpr uint64_t kRegionBytes = 2u << 20;
constexpr char kRegion[] = "weights";
constexpr char kProgram[] = "/usr/local/lib/npu-ipc-tests/npu-ipc-fan-out-bench";

struct Settings {
  int pods = 10;
  int processes = 100;  // of each pod
  std::string cgroup;
};

// What the processes of a pod tell the first of them.
struct Board {
  std::atomic<int> ready{0};
  std::atomic<int> done{0};
};
struct Attached {
  int64_t began = 0;  // nanoseconds of the machine's clock, which all pods share
  int64_t ended = 0;
};

int64_t Now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

void Check(int64_t code, const char* call) {
  if (code == 0) return;
  std::cerr << call << " failed with " << code << std::endl;
  ::_exit(1);
}

npu_ipc_client* OpenOnDevice() {
  Check(aclInit(nullptr), "aclInit");
  Check(aclrtSetDevice(0), "aclrtSetDevice");
  npu_ipc_client* client = nullptr;
  Check(npu_ipc_open(nullptr, &client), "npu_ipc_open");
  return client;
}

void HoldUntilInputEnds() {
  for (std::string line; std::getline(std::cin, line);) {
  }
}

int Export() {
  npu_ipc_client* const client = OpenOnDevice();
  void* dev_ptr = nullptr;
  Check(aclrtMalloc(&dev_ptr, kRegionBytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  npu_ipc_region* region = nullptr;
  Check(npu_ipc_publish(client, kRegion, dev_ptr, kRegionBytes, nullptr, &region),
        "npu_ipc_publish");
  std::cout << "ready" << std::endl;
  HoldUntilInputEnds();
  return 0;
}

// Attaches once `start` hangs up, and holds the mapping.
[[noreturn]] void ImportOne(int start, Board* board, Attached* attached) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  npu_ipc_client* const client = OpenOnDevice();
  ++board->ready;
  pollfd polled = {start, POLLIN, 0};
  ::poll(&polled, 1, -1);
  npu_ipc_mapping* mapping = nullptr;
  attached->began = Now();
  Check(npu_ipc_attach(client, kRegion, nullptr, &mapping), "npu_ipc_attach");
  attached->ended = Now();
  ++board->done;
  for (;;) ::pause();
}

template <class T>
T* Shared(size_t count) {
  void* const memory =
      ::mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : new (memory) T[count];
}

// Waits until all have counted; false where one has ended instead.
bool AllCounted(const std::atomic<int>& count, int processes) {
  bool ended = false;
  WaitUntil(
      [&] {
        ended = ::waitpid(-1, nullptr, WNOHANG) != 0;
        return ended || count == processes;
      },
      std::chrono::minutes(2));
  return !ended && count == processes;
}

// The first process of a pod: tells "ready", hears a line, tells when each of its processes began
// and ended.
int Import(int processes) {
  auto* const board = Shared<Board>(1);
  auto* const attached = Shared<Attached>(static_cast<size_t>(processes));
  int start[2];
  if (board == nullptr || attached == nullptr || ::pipe(start) != 0) return 1;
  for (int i = 0; i < processes; ++i) {
    if (::fork() != 0) continue;
    ::close(start[1]);
    ImportOne(start[0], board, attached + i);
  }
  if (!AllCounted(board->ready, processes)) return 1;
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  ::close(start[1]);
  if (!AllCounted(board->done, processes)) return 1;
  std::cout << "attached";
  for (int i = 0; i < processes; ++i) {
    std::cout << " " << attached[i].began << " " << attached[i].ended;
  }
  std::cout << std::endl;
  HoldUntilInputEnds();
  return 0;
}

// All in containers of their own, on one device that is shared: the driver lets only 32 processes
// use a device from another.
Result<std::unique_ptr<Container>> StartReady(TestNode& node, const PodRecord& pod,
                                              const std::string& device,
                                              const std::vector<std::string>& arguments) {
  const Result<json> allocation = node.Allocate({device});
  if (!allocation.ok()) return allocation.status();
  auto started = node.Run(pod, *allocation, arguments);
  if (!started.ok()) return started.status();
  const auto ready = (*started)->process().ReadLineStartingWith("ready", std::chrono::minutes(2));
  if (!ready.ok()) {
    const Result<std::string> said = ReadFile((*started)->error_file());
    return ready.status().WithContext(pod.name + (said.ok() ? ": " + *said : ""));
  }
  return started;
}

size_t ResidentBytes(pid_t pid) {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/" + std::to_string(pid) + "/statm") >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

struct Outcome {
  Samples attach;
  int64_t first_began = INT64_MAX;
  int64_t last_ended = 0;
};

Status AddTimes(Container& importer, Outcome* outcome) {
  const auto line = importer.process().ReadLineStartingWith("attached", std::chrono::minutes(2));
  if (!line.ok()) return line.status().WithContext("an importer");
  std::istringstream words(*line);
  std::string word;
  words >> word;
  for (int64_t began = 0, ended = 0; words >> began >> ended;) {
    outcome->attach.Add(ended - began);
    outcome->first_began = std::min(outcome->first_began, began);
    outcome->last_ended = std::max(outcome->last_ended, ended);
  }
  return Status::Ok();
}

Result<json> Measure(const Settings& settings) {
  TestNode::Options options;
  options.cgroup = settings.cgroup;
  options.replicas = static_cast<size_t>(settings.pods) + 1;
  options.plugin_flags = {"--sharing-replicas=" + std::to_string(options.replicas),
                          "--sharing-manage-device-share", "--health-poll-interval=20ms"};
  auto node = TestNode::Start(options);
  if (!node.ok()) return node.status();
  std::vector<PodRecord> pods;
  for (int i = 0; i <= settings.pods; ++i) {
    pods.push_back(
        {"bench", "pod-" + std::to_string(i), RandomUid(), {{"npu-ipc.io/group", "bench"}}});
  }
  if (Status set = (*node)->SetPods(pods); !set.ok()) return set;
  const auto exporter = StartReady(**node, pods[0], "npu-0::0", {kProgram, "--exporter"});
  if (!exporter.ok()) return exporter.status();
  const size_t before = ResidentBytes((*node)->broker().pid());
  std::vector<std::unique_ptr<Container>> importers;
  for (int i = 1; i <= settings.pods; ++i) {
    auto importer =
        StartReady(**node, pods[i], "npu-0::" + std::to_string(i),
                   {kProgram, "--importer", "--processes", std::to_string(settings.processes)});
    if (!importer.ok()) return importer.status();
    importers.push_back(std::move(*importer));
  }
  for (const auto& importer : importers) {
    if (Status told = importer->process().WriteLine("go"); !told.ok()) return told;
  }
  Outcome outcome;
  for (const auto& importer : importers) {
    if (Status added = AddTimes(*importer, &outcome); !added.ok()) {
      const Result<std::string> said = ReadFile(importer->error_file());
      return added.WithContext(said.ok() ? *said : "");
    }
  }
  const size_t after = ResidentBytes((*node)->broker().pid());
  const int count = settings.pods * settings.processes;
  return json{{"figures",
               {{{"figure", "one region to " + std::to_string(count) + " processes in " +
                                std::to_string(settings.pods) + " pods at once, on demand"},
                 {"seconds", static_cast<double>(outcome.last_ended - outcome.first_began) * 1e-9},
                 {"each_ns",
                  {{"p50", outcome.attach.Percentile(50)}, {"p99", outcome.attach.Percentile(99)}}},
                 {"broker_bytes_of_a_client_with_a_mapping",
                  (after - before) / static_cast<size_t>(count)}}}}};
}

int Run(int argc, char** argv) {
  CLI::App app("One region to very many processes at once, as JSON. Needs root.");
  Settings settings;
  bool exporter = false, importer = false;
  app.add_option("--pods", settings.pods)->check(CLI::Range(1, 100))->capture_default_str();
  app.add_option("--processes", settings.processes, "of each pod")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--exporter", exporter)->group("");  // the parties: this program again, in a pod
  app.add_flag("--importer", importer)->group("");
  CLI11_PARSE(app, argc, argv);
  if (exporter) return Export();
  if (importer) return Import(settings.processes);
  return PrintMeasuredInNodeBox([&](const std::string& cgroup) {
    settings.cgroup = cgroup;
    return Measure(settings);
  });
}

}  // namespace
}  // namespace npu_ipc

int main(int argc, char** argv) { return npu_ipc::Run(argc, argv); }
