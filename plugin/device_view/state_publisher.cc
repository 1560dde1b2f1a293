#include "plugin/device_view/state_publisher.h"

#include <algorithm>
#include <utility>

namespace npu_ipc::device_view {
namespace {

WallTime SystemNow() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

bool SameState(const Health& health, const DeviceReport& report) {
  return health.healthy == report.healthy && health.level == report.level &&
         health.fault_codes == report.fault_codes && health.reason == report.reason;
}

void TakeIn(const DeviceReport& report, WallTime now, DeviceState* device) {
  const bool is_new = device->health_history.empty();
  device->id = report.id;
  device->resource = report.resource;
  device->hardware = report.hardware;
  if (!is_new && SameState(device->health, report)) return;
  if (!is_new && device->health.healthy != report.healthy) ++device->health_changes;
  device->health = {report.healthy, report.level, report.fault_codes, report.reason, now};
  std::vector<Health>& history = device->health_history;
  if (history.size() == StatePublisher::kHealthHistory) history.erase(history.begin());
  history.push_back(device->health);
}

}  // namespace

StatePublisher::StatePublisher() : StatePublisher(SystemNow) {}

StatePublisher::StatePublisher(Now now) : now_(std::move(now)) {
  next_.sequence = 1;
  current_ = std::make_shared<const NodeState>(next_);
}

void StatePublisher::SetDriver(const std::string& version, const std::string& problem,
                               bool answered) {
  next_.facts.driver_version = version;
  next_.facts.problem = problem;
  if (answered) next_.facts.last_look = now_();
}

void StatePublisher::SetDevices(const std::vector<DeviceReport>& reports) {
  const WallTime now = now_();
  std::map<std::string, DeviceState> devices;
  for (const DeviceReport& report : reports) {
    const auto before = next_.devices.find(report.id);
    DeviceState device = before == next_.devices.end() ? DeviceState() : std::move(before->second);
    TakeIn(report, now, &device);
    devices[report.id] = std::move(device);
  }
  next_.devices = std::move(devices);
  std::erase_if(next_.usage,
                [&](const auto& entry) { return !next_.devices.contains(entry.first); });
}

void StatePublisher::SetUsage(std::map<std::string, hal::DeviceUsage> usage) {
  next_.usage = std::move(usage);
  std::erase_if(next_.usage, [](const auto& entry) { return entry.second == hal::DeviceUsage(); });
}

void StatePublisher::SetLinks(std::vector<Link> links) { next_.links = std::move(links); }

void StatePublisher::EndAllocationsOf(const std::string& resource,
                                      const std::vector<std::string>& device_ids) {
  std::erase_if(next_.allocations, [&](const auto& entry) {
    const Allocation& allocation = entry.second;
    return allocation.resource == resource &&
           std::find_first_of(allocation.device_ids.begin(), allocation.device_ids.end(),
                              device_ids.begin(), device_ids.end()) != allocation.device_ids.end();
  });
}

void StatePublisher::AddAllocation(const std::string& resource,
                                   const std::vector<std::string>& device_ids, Duration took) {
  next_.resources[resource].allocate.Observe(Seconds(took));
  EndAllocationsOf(resource, device_ids);
  Allocation allocation;
  allocation.id = ++last_allocation_;
  allocation.resource = resource;
  allocation.device_ids = device_ids;
  allocation.allocated = now_();
  std::sort(allocation.device_ids.begin(), allocation.device_ids.end());
  next_.allocations[allocation.id] = std::move(allocation);
}

void StatePublisher::AddFailedAllocation(const std::string& resource, Duration took) {
  ResourceStatistics& statistics = next_.resources[resource];
  statistics.allocate.Observe(Seconds(took));
  ++statistics.allocate_failures;
}

void StatePublisher::AddRegistration(const std::string& resource) {
  ++next_.resources[resource].registrations;
}

void StatePublisher::SetHolders(const std::vector<DeviceHolder>& holders, WallTime listed) {
  std::map<uint64_t, Allocation> kept;
  for (const DeviceHolder& holder : holders) {
    Allocation held;
    held.resource = holder.resource;
    held.device_ids = holder.device_ids;
    std::sort(held.device_ids.begin(), held.device_ids.end());
    const auto known =
        std::find_if(next_.allocations.begin(), next_.allocations.end(), [&](const auto& entry) {
          return entry.second.resource == held.resource &&
                 entry.second.device_ids == held.device_ids && !kept.contains(entry.first);
        });
    held.id = known != next_.allocations.end() ? known->first : ++last_allocation_;
    held.allocated = known != next_.allocations.end() ? known->second.allocated : WallTime();
    held.pod_namespace = holder.pod_namespace;
    held.pod_name = holder.pod_name;
    held.container_name = holder.container_name;
    kept[held.id] = std::move(held);
  }
  for (const auto& [id, allocation] : next_.allocations) {
    if (allocation.allocated > listed) kept.emplace(id, allocation);
  }
  next_.allocations = std::move(kept);
}

void StatePublisher::Publish() {
  {
    const std::lock_guard lock(mutex_);
    if (next_ == *current_) return;
    ++next_.sequence;
    current_ = std::make_shared<const NodeState>(next_);
  }
  const std::lock_guard lock(listener_mutex_);
  if (listener_) listener_();
}

std::shared_ptr<const NodeState> StatePublisher::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void StatePublisher::SetListener(std::function<void()> changed) {
  const std::lock_guard lock(listener_mutex_);
  listener_ = std::move(changed);
}

}  // namespace npu_ipc::device_view
