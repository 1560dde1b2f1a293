#include "plugin/device_view/state_publisher.h"

#include <algorithm>
#include <utility>

namespace npu_ipc::device_view {
namespace {

WallTime SystemNow() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

bool SameState(const Health& health, const DeviceReport& report) {
  return health.healthy == report.healthy && health.level == report.level &&
         health.fault_codes == report.fault_codes && health.reason == report.reason;
}

bool SameOwner(const Allocation& allocation, const HeldDevices& held) {
  return allocation.pod_namespace == held.pod_namespace && allocation.pod_name == held.pod_name &&
         allocation.container_name == held.container_name;
}

void TakeIn(const DeviceReport& report, WallTime now, DeviceState* device) {
  const bool is_new = device->health_history.empty();
  device->id = report.id;
  device->resource = report.resource;
  device->hardware = report.hardware;
  device->device_share = report.device_share;
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

void StatePublisher::SetAllocations(const std::vector<HeldDevices>& held,
                                    const std::string& problem) {
  next_.facts.allocations_problem = problem;
  // What was held before, by what it is of; what has been found again is taken out.
  using Devices = std::pair<std::string, std::vector<std::string>>;
  std::map<Devices, std::vector<const Allocation*>> before;
  for (const auto& [id, allocation] : next_.allocations) {
    before[{allocation.resource, allocation.device_ids}].push_back(&allocation);
  }
  std::map<uint64_t, Allocation> allocations;
  for (const HeldDevices& devices : held) {
    std::vector<const Allocation*>& candidates = before[{devices.resource, devices.device_ids}];
    // Several containers may hold one card: theirs goes before what was nobody's so far.
    auto known =
        std::find_if(candidates.begin(), candidates.end(),
                     [&](const Allocation* candidate) { return SameOwner(*candidate, devices); });
    if (known == candidates.end()) {
      known = std::find_if(candidates.begin(), candidates.end(), [](const Allocation* candidate) {
        return candidate->container_name.empty();
      });
    }
    const bool is_new = known == candidates.end();
    Allocation allocation;
    allocation.id = is_new ? ++last_allocation_ : (*known)->id;
    allocation.allocated = is_new ? now_() : (*known)->allocated;
    if (!is_new) candidates.erase(known);
    allocation.resource = devices.resource;
    allocation.device_ids = devices.device_ids;
    allocation.pod_namespace = devices.pod_namespace;
    allocation.pod_name = devices.pod_name;
    allocation.container_name = devices.container_name;
    allocations[allocation.id] = std::move(allocation);
  }
  next_.allocations = std::move(allocations);
}

void StatePublisher::AddAllocateCall(const std::string& resource, Duration took, bool refused) {
  ResourceStatistics& statistics = next_.resources[resource];
  statistics.allocate.Observe(std::chrono::duration<double>(took).count());
  if (refused) ++statistics.allocate_failures;
}

void StatePublisher::SetRegistrations(const std::string& resource, uint64_t registrations) {
  next_.resources[resource].registrations = registrations;
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
