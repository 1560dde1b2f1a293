#include "plugin/device/node_view.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include "plugin/device/npu_resource.h"
#include "plugin/device_view/socket.h"

namespace npu_ipc::device {
namespace {

using device_view::DeviceReport;

// What is allocated within this is told at once: a node that starts has many pods to admit.
constexpr Duration kGather = std::chrono::milliseconds(10);

// The driver's last word on each device that it lists; one that it lists no more is absent.
void TakeHealth(const Observation& observation, std::map<uint32_t, hal::DeviceHealth>* health) {
  if (!observation.inventory.ok()) return;
  for (auto& [physical_id, known] : *health) {
    if (!observation.health.contains(physical_id)) known = {hal::HealthLevel::kAbsent, {}};
  }
  for (const auto& [physical_id, answer] : observation.health) {
    if (answer.ok()) (*health)[physical_id] = *answer;
  }
}

// Whether the driver lets several containers use a device, as far as that was asked and answered.
std::map<uint32_t, bool> DeviceShares(const Observation& observation) {
  std::map<uint32_t, bool> shares;
  for (const auto& [physical_id, status] : observation.sharing) {
    if (status.code() != StatusCode::kUnavailable) shares[physical_id] = status.ok();
  }
  return shares;
}

std::map<std::string, hal::DeviceUsage> ById(const std::map<uint32_t, hal::DeviceUsage>& usage) {
  std::map<std::string, hal::DeviceUsage> by_id;
  for (const auto& [physical_id, value] : usage) by_id[DeviceId(physical_id)] = value;
  return by_id;
}

std::string ProblemOf(const Snapshot& snapshot) {
  if (!snapshot.problem.empty() || !snapshot.devices.empty()) return snapshot.problem;
  return "the driver lists no NPU on this node";
}

}  // namespace

NodeView::NodeView(EventLoop& loop, std::string socket, ResourceName resource_name,
                   const kubelet::AllocationTracker& allocations)
    : loop_(loop),
      socket_(std::move(socket)),
      resource_name_(std::move(resource_name)),
      allocations_(allocations),
      self_(std::make_shared<NodeView*>(this)) {
  publisher_.SetPluginVersion(NPU_IPC_VERSION);
}

NodeView::~NodeView() {
  *self_ = nullptr;
  loop_.Cancel(publish_timer_);
}

void NodeView::OnLook(const Snapshot& snapshot, const Observation* observation,
                      const kubelet::KubeletSession& session) {
  if (device_view::SocketIsOff(socket_)) return;
  const bool answered = observation != nullptr && observation->inventory.ok();
  if (answered) {
    TakeHealth(*observation, &health_);
    device_share_ = DeviceShares(*observation);
    driver_version_ = observation->driver_version;
  }
  publisher_.SetDriver(driver_version_, ProblemOf(snapshot), answered);
  TakeDevices(snapshot);
  // Temperatures of a driver that does not answer are not those of now.
  publisher_.SetUsage(answered ? ById(observation->usage)
                               : std::map<std::string, hal::DeviceUsage>());
  for (const auto& plugin : session.plugins()) {
    publisher_.SetRegistrations(plugin->resource().name(), plugin->registrations());
  }
  TakeAllocations();
  publisher_.Publish();
  Serve();
}

void NodeView::TakeDevices(const Snapshot& snapshot) {
  std::vector<DeviceReport> reports;
  for (const SchedulableDevice& device : snapshot.devices) {
    DeviceReport& report = reports.emplace_back();
    report.id = device.id;
    report.resource = resource_name_(device.hardware.family);
    report.hardware = device.hardware;
    report.healthy = device.healthy && held_back_.ok();
    report.reason = device.healthy ? held_back_.message() : device.reason;
    if (const auto share = device_share_.find(device.hardware.physical_id);
        share != device_share_.end()) {
      report.device_share = share->second;
    }
    if (const auto health = health_.find(device.hardware.physical_id); health != health_.end()) {
      report.level = health->second.level;
      report.fault_codes = health->second.fault_codes;
    }
  }
  publisher_.SetDevices(reports);

  std::vector<device_view::Link> links;
  for (const auto& [pair, type] : snapshot.links) links.push_back({pair.first, pair.second, type});
  publisher_.SetLinks(std::move(links));
}

void NodeView::TakeAllocations() {
  // Kept while it is read: an Allocate on another thread replaces it.
  const std::shared_ptr<const kubelet::AllocationSnapshot> snapshot = allocations_.snapshot();
  std::vector<device_view::HeldDevices> held;
  for (const kubelet::Allocation& allocation : snapshot->allocations) {
    device_view::HeldDevices& added = held.emplace_back();
    added.resource = allocation.resource;
    std::set<std::string> devices;  // a container may have several replicas of one
    for (const std::string& id : allocation.device_ids) devices.insert(DeviceOfReplica(id));
    added.device_ids.assign(devices.begin(), devices.end());
    if (!allocation.container) continue;
    added.pod_namespace = allocation.container->pod_namespace;
    added.pod_name = allocation.container->pod;
    added.container_name = allocation.container->container;
  }
  publisher_.SetAllocations(held, snapshot->source.message());
}

void NodeView::OnAllocate(const kubelet::AllocateCall& call) {
  if (device_view::SocketIsOff(socket_)) return;
  loop_.Post([self = self_, resource = call.resource, took = call.took, ok = call.status.ok()] {
    if (*self == nullptr) return;
    (*self)->publisher_.AddAllocateCall(resource, took, !ok);
    (*self)->PublishSoon();
  });
}

void NodeView::PublishSoon() {
  if (publish_timer_ != 0) return;
  publish_timer_ = loop_.RunAfter(kGather, [this] {
    publish_timer_ = 0;
    TakeAllocations();
    publisher_.Publish();
  });
}

void NodeView::Serve() {
  if (server_ != nullptr && server_->SocketInPlace()) return;
  server_.reset();
  Result<std::unique_ptr<device_view::DeviceViewServer>> server =
      device_view::DeviceViewServer::Serve(socket_, publisher_);
  if (server.ok()) {
    server_ = std::move(*server);
    serve_problem_.clear();
    spdlog::info("serving the device view: socket={}", socket_);
  } else if (std::exchange(serve_problem_, server.status().message()) != serve_problem_) {
    spdlog::warn("no device view is served, trying again: reason={}", serve_problem_);
  }
}

}  // namespace npu_ipc::device
