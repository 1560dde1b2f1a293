#include "tests/walkthrough/walkthrough.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "hal/base/process.h"
#include "npu_ipc/hal/device_manager.h"
#include "tests/walkthrough/kernel_view.h"

namespace npu_ipc {
namespace {

using nlohmann::json;

constexpr char kGroupAnnotation[] = "npu-ipc.io/group";

Status NotSo(const std::string& what) { return {StatusCode::kInternal, what}; }

// The value of `key` in an "event key=value key=value" line; empty if it is not there.
std::string Value(const std::string& line, const std::string& key) {
  const size_t at = line.find(" " + key + "=");
  if (at == std::string::npos) return "";
  const size_t from = at + key.size() + 2;
  return line.substr(from, line.find(' ', from) - from);
}

bool HasDeviceNode(const json& allocation, const std::string& path) {
  for (const json& device : allocation.value("devices", json::array())) {
    if (device.value("container_path", "") == path) return true;
  }
  return false;
}

// Device nodes of NPUs in an answer of Allocate: "/dev/davinci0".
std::string NpuNodes(const json& allocation) {
  std::string nodes;
  for (const json& device : allocation.value("devices", json::array())) {
    const std::string path = device.value("container_path", "");
    if (path.rfind("/dev/davinci", 0) == 0 && path != "/dev/davinci_manager") nodes += path + " ";
  }
  return nodes.empty() ? "none" : nodes.substr(0, nodes.size() - 1);
}

std::string Row(const hal::Device& device, const char* health, uint64_t used_bytes) {
  char row[256];
  const std::string numa = device.numa_node ? std::to_string(*device.numa_node) : "-";
  ::snprintf(row, sizeof(row), "%6u  %-15s %-14s %8s  %5s used  NUMA %-2s %s", device.physical_id,
             device.chip_name.c_str(), device.pci_address.c_str(),
             Size(device.memory_bytes).c_str(), used_bytes == 0 ? "none" : "some", numa.c_str(),
             health);
  return row;
}

}  // namespace

Walkthrough::Walkthrough(WalkthroughOptions options) : options_(std::move(options)) {
  exporter_.record = {"team-a", "exporter", RandomUid(), {{kGroupAnnotation, "weights:exporter"}}};
  importer_.record = {"team-a", "importer", RandomUid(), {{kGroupAnnotation, "weights:importer"}}};
  stranger_.record = {"team-a", "stranger", RandomUid(), {}};
}

Status Walkthrough::Run() {
  for (const auto step :
       {&Walkthrough::StartNode, &Walkthrough::ShowDevices, &Walkthrough::Allocate,
        &Walkthrough::StartPods, &Walkthrough::CheckIsolation, &Walkthrough::Publish,
        &Walkthrough::Attach, &Walkthrough::ExchangePatterns, &Walkthrough::CloseInOrder,
        &Walkthrough::RefuseTheStranger}) {
    if (Status done = (this->*step)(); !done.ok()) return done;
  }
  return Status::Ok();
}

std::string Walkthrough::Logs() const {
  if (node_ == nullptr) return "";
  std::string logs;
  for (const char* daemon : {"driver", "device-plugin", "broker"}) {
    logs += std::string("--- ") + daemon + "\n" + node_->Log(daemon);
  }
  return logs;
}

Status Walkthrough::StartNode() {
  narrator_.Step("A simulated " + options_.node + " node");
  TestNode::Options options;
  options.shape = options_.node;
  options.cgroup = options_.cgroup;
  Result<std::unique_ptr<TestNode>> node = TestNode::Start(std::move(options));
  if (!node.ok()) return node.status();
  node_ = std::move(*node);
  narrator_.Fact(
      "npu-sim-driver plays the driver; libdcmi, libascendcl and libruntime are the simulator's");
  return Status::Ok();
}

Status Walkthrough::ShowDevices() {
  const auto manager = hal::OpenDcmi(node_->driver_library_directory() + "/libdcmi.so");
  if (!manager.ok()) return manager.status();
  const Result<hal::DeviceInventory> inventory = (*manager)->Devices();
  if (!inventory.ok()) return inventory.status();
  const std::vector<hal::Device>& devices = inventory->devices;
  if (devices.size() < 2) return NotSo("the node has fewer than two devices");
  narrator_.Fact("device  chip            PCI                HBM");
  for (const hal::Device& device : devices) {
    const auto health = (*manager)->Health(device.physical_id);
    const auto usage = (*manager)->Usage(device.physical_id);
    if (!health.ok()) return health.status();
    if (!usage.ok()) return usage.status();
    narrator_.Fact(
        Row(device, hal::HealthLevelName(health->level), usage->memory_used_bytes.value_or(0)));
  }
  const Result<hal::LinkType> link = (*manager)->Link(0, 1);
  if (!link.ok()) return link.status();
  narrator_.Fact(std::string("devices 0 and 1 are linked by ") + hal::LinkTypeName(*link));
  return Status::Ok();
}

Status Walkthrough::Allocate() {
  narrator_.Step("The kubelet's side: registration and Allocate");
  const Result<json> devices = node_->Devices();
  if (!devices.ok()) return devices.status();
  for (const json& device : devices->at("devices")) {
    device_ids_.push_back(device.at("id").get<std::string>());
  }
  if (device_ids_.size() < 3) return NotSo("the plugin advertised fewer than three devices");
  narrator_.Proof("npu-device-plugin registered " + node_->resource() + " and advertises " +
                  std::to_string(device_ids_.size()) + " devices: " + device_ids_.front() +
                  " ... " + device_ids_.back());
  if (Status done = AllocateFor(exporter_, device_ids_[0]); !done.ok()) return done;
  if (Status done = AllocateFor(importer_, device_ids_[1]); !done.ok()) return done;
  if (Status done = AllocateFor(stranger_, device_ids_[2]); !done.ok()) return done;
  return node_->SetPods({exporter_.record, importer_.record, stranger_.record});
}

Status Walkthrough::AllocateFor(Pod& pod, const std::string& device_id) {
  Result<json> allocation = node_->Allocate({device_id});
  if (!allocation.ok()) return allocation.status();
  pod.device_id = device_id;
  pod.allocation = std::move(*allocation);
  narrator_.Fact("Allocate(" + device_id + ") for pod " + pod.record.name + ": " +
                 NpuNodes(pod.allocation) + " of " +
                 std::to_string(pod.allocation.at("devices").size()) + " device nodes, " +
                 std::to_string(pod.allocation.at("mounts").size()) + " mounts, " +
                 std::to_string(pod.allocation.at("envs").size()) + " variables");
  if (options_.verbose) narrator_.Fact(pod.allocation.dump(2));
  return Status::Ok();
}

Result<std::string> Walkthrough::Next(Pod& pod, const std::string& expected) {
  Result<std::string> line = pod.container->process().ReadLine();
  if (!line.ok()) {
    const Result<std::string> said = ReadFile(pod.container->error_file());
    return line.status().WithContext("pod " + pod.record.name + ", waiting for '" + expected +
                                     "': " + (said.ok() ? *said : ""));
  }
  if (line->rfind(expected, 0) != 0) {
    return NotSo("pod " + pod.record.name + " said '" + *line + "' instead of '" + expected + "'");
  }
  return line;
}

Status Walkthrough::Press(Pod& pod) { return pod.container->process().WriteLine(""); }

Status Walkthrough::StartPods() {
  narrator_.Step(
      "Two pods of group 'weights', with namespaces of their own and what Allocate answered");
  const std::string bytes = std::to_string(options_.bytes);
  const std::pair<Pod*, std::vector<std::string>> starts[] = {
      {&exporter_, {"exporter", "--name", "shard-0", "--bytes", bytes}},
      {&importer_, {"importer", "--name", "shard-0"}},
  };
  for (const auto& [pod, role] : starts) {
    std::vector<std::string> arguments = {"npu-ipc-example"};
    arguments.insert(arguments.end(), role.begin(), role.end());
    arguments.push_back("--step-by-step");
    auto container = node_->Run(pod->record, pod->allocation, arguments);
    if (!container.ok()) return container.status();
    pod->container = std::move(*container);
    if (Status done = Identify(*pod); !done.ok()) return done;
  }
  return Status::Ok();
}

Status Walkthrough::Identify(Pod& pod) {
  const Result<std::string> line = Next(pod, "identified");
  if (!line.ok()) return line.status();
  const std::string own = Value(*line, "pid"), host = Value(*line, "host_pid");
  pod.host_pid = static_cast<pid_t>(std::atoi(host.c_str()));
  if (pod.host_pid != pod.container->host_pid()) {
    return NotSo("the broker resolved host pid " + host + " for pod " + pod.record.name +
                 ", but its process is " + std::to_string(pod.container->host_pid()));
  }
  const Result<pid_t> innermost = PidInItsOwnNamespace(pod.host_pid);
  if (!innermost.ok()) return innermost.status();
  if (std::to_string(*innermost) != own || Value(*line, "pod") != "team-a/" + pod.record.name) {
    return NotSo("pod " + pod.record.name + " was identified as '" + *line + "'");
  }
  narrator_.Proof("pod team-a/" + pod.record.name + ": it sees itself as pid " + own +
                  "; the broker resolved host pid " + host + ", as the kernel has it");
  return Status::Ok();
}

Status Walkthrough::CheckIsolation() {
  for (const char* kind : {"pid", "mnt", "ipc", "net"}) {
    const auto a = NamespaceOf(exporter_.host_pid, kind), b = NamespaceOf(importer_.host_pid, kind),
               host = NamespaceOf(::getpid(), kind);
    if (!a.ok() || !b.ok() || !host.ok()) return NotSo("cannot read namespaces");
    if (*a == *b || *a == *host || *b == *host) {
      return NotSo(std::string("the pods share a ") + kind +
                   " namespace with each other or the host");
    }
  }
  narrator_.Proof(
      "no shared PID, mount, IPC or network namespace, with each other or with the host");
  if (HasDeviceNode(importer_.allocation, "/dev/davinci0")) {
    return NotSo("the importer was given /dev/davinci0");
  }
  if (Status pressed = Press(importer_); !pressed.ok()) return pressed;
  const Result<std::string> line = Next(importer_, "devices");
  if (!line.ok()) return line.status();
  if (Value(*line, "count") != "1") return NotSo("the importer sees " + *line);
  narrator_.Proof("the importer sees one device, /dev/davinci1; device 0 is not in its /dev");
  return Status::Ok();
}

Status Walkthrough::Publish() {
  narrator_.Step("The exporter publishes " + Size(options_.bytes) + " of device 0");
  if (Status pressed = Press(exporter_); !pressed.ok()) return pressed;
  const Result<std::string> filled = Next(exporter_, "filled");
  if (!filled.ok()) return filled.status();
  const Result<std::string> published = Next(exporter_, "published");
  if (!published.ok()) return published.status();
  narrator_.Fact(
      "filled with a pattern, exported with the whitelist on, published as 'shard-0' (generation " +
      Value(*published, "generation") + ")");
  return Status::Ok();
}

Status Walkthrough::Attach() {
  narrator_.Step("The importer attaches on device 1");
  const Result<uint64_t> before = SharedMemoryInUse();
  if (!before.ok()) return before.status();
  if (Status pressed = Press(importer_); !pressed.ok()) return pressed;
  const Result<std::string> line = Next(importer_, "attached");
  if (!line.ok()) return line.status();
  if (Value(*line, "device") != "1" || Value(*line, "exporter_device") != "0" ||
      Value(*line, "bytes") != std::to_string(options_.bytes)) {
    return NotSo("the importer attached as '" + *line + "'");
  }
  narrator_.Fact("the broker had the exporter enable peer access and whitelist host pid " +
                 std::to_string(importer_.host_pid) + "; the importer imported the key");
  return CheckZeroCopy(*before);
}

Status Walkthrough::CheckZeroCopy(uint64_t shared_memory_before) {
  const auto exported = DeviceMemoryMappings(exporter_.host_pid, options_.bytes);
  const auto imported = DeviceMemoryMappings(importer_.host_pid, options_.bytes);
  if (!exported.ok()) return exported.status();
  if (!imported.ok()) return imported.status();
  const auto same = [&](const MemoryMapping& mapping) {
    return std::any_of(imported->begin(), imported->end(),
                       [&](const MemoryMapping& other) { return other.inode == mapping.inode; });
  };
  const auto shared = std::find_if(exported->begin(), exported->end(), same);
  if (shared == exported->end()) return NotSo("the two processes map no common inode of that size");
  narrator_.Proof("both processes map inode " + std::to_string(shared->inode) + " (" +
                  shared->name + ", " + Size(shared->bytes) + "), says /proc/PID/maps");

  const Result<uint64_t> after = SharedMemoryInUse();
  if (!after.ok()) return after.status();
  const int64_t growth = static_cast<int64_t>(*after) - static_cast<int64_t>(shared_memory_before);
  // Other programs of the machine use shared memory too; a copy would show as the region's size.
  if (growth > static_cast<int64_t>(options_.bytes / 4)) {
    return NotSo("shared memory grew by " + std::to_string(growth) + " bytes at the import");
  }
  narrator_.Proof("shared memory of the machine grew by " +
                  std::to_string(std::max<int64_t>(growth, 0) >> 10) +
                  " KiB at the import: no copy");
  return Status::Ok();
}

Status Walkthrough::ExchangePatterns() {
  narrator_.Step("Both read and write the same memory, by asynchronous device-to-device copies");
  if (Status pressed = Press(importer_); !pressed.ok()) return pressed;
  if (const auto line = Next(importer_, "read"); !line.ok()) return line.status();
  narrator_.Proof("the importer read the exporter's pattern, all " + Size(options_.bytes));
  if (Status pressed = Press(importer_); !pressed.ok()) return pressed;
  if (const auto line = Next(importer_, "wrote"); !line.ok()) return line.status();
  if (Status pressed = Press(exporter_); !pressed.ok()) return pressed;
  if (const auto line = Next(exporter_, "verified"); !line.ok()) return line.status();
  narrator_.Proof("the exporter reads the pattern that the importer wrote back");
  return Status::Ok();
}

Status Walkthrough::CloseInOrder() {
  narrator_.Step("The ordered close: importers first, exporter last");
  if (Status pressed = Press(exporter_); !pressed.ok()) return pressed;
  if (const auto line = Next(importer_, "asked to detach"); !line.ok()) return line.status();
  narrator_.Fact(
      "the exporter withdraws; the importer is asked to detach, the exporter waits for it");
  const Result<std::string> early =
      exporter_.container->process().ReadLine(std::chrono::milliseconds(100));
  if (early.ok())
    return NotSo("the exporter did not wait for the importer: it said '" + *early + "'");
  if (Status pressed = Press(importer_); !pressed.ok()) return pressed;
  if (const auto line = Next(importer_, "detached"); !line.ok()) return line.status();
  if (const auto line = Next(exporter_, "withdrawn"); !line.ok()) return line.status();
  for (Pod* pod : {&importer_, &exporter_}) {
    const Result<int> code = pod->container->process().Wait();
    if (!code.ok()) return code.status();
    if (*code != 0)
      return NotSo("pod " + pod->record.name + " exited with " + std::to_string(*code));
  }
  narrator_.Proof("the importer detached, then the exporter closed its export; both exited with 0");
  return Status::Ok();
}

Status Walkthrough::RefuseTheStranger() {
  narrator_.Step("A third pod without the annotation");
  auto container = node_->Run(stranger_.record, stranger_.allocation,
                              {"npu-ipc-example", "importer", "--name", "shard-0"});
  if (!container.ok()) return container.status();
  stranger_.container = std::move(*container);
  const Result<int> code = stranger_.container->process().Wait();
  if (!code.ok()) return code.status();
  const Result<std::string> said = ReadFile(stranger_.container->error_file());
  if (!said.ok()) return said.status();
  if (*code == 0 || said->find("NPU_IPC_NO_GROUP") == std::string::npos ||
      said->find("team-a/stranger") == std::string::npos) {
    return NotSo("the stranger was not refused as it should be: exit code " +
                 std::to_string(*code) + ", it said '" + *said + "'");
  }
  narrator_.Proof("refused: " + said->substr(0, said->find('\n')));
  return Status::Ok();
}

}  // namespace npu_ipc
