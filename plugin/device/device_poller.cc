#include "plugin/device/device_poller.h"

#include <spdlog/spdlog.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace npu_ipc::device {
namespace {

// Links are asked for once: when a pair of devices is first there, and again when one has been
// away.
void ReadLinks(hal::DeviceManager& manager, const std::vector<hal::Device>& devices,
               LinkTable* links) {
  LinkTable present;
  for (const hal::Device& a : devices) {
    for (const hal::Device& b : devices) {
      if (a.physical_id >= b.physical_id) continue;
      const auto pair = std::make_pair(a.physical_id, b.physical_id);
      if (const auto known = links->find(pair); known != links->end()) {
        present.insert(*known);
        continue;
      }
      const Result<hal::LinkType> link = manager.Link(a.physical_id, b.physical_id);
      if (link.ok()) {
        present[pair] = *link;
      } else if (link.status().code() == StatusCode::kUnimplemented) {
        present[pair] = hal::LinkType::kUnknown;
      }  // else it is asked for again with the next look
    }
  }
  *links = std::move(present);
}

// Ok, or why several containers cannot use the device at once.
Status CheckDeviceShare(hal::DeviceManager& manager, uint32_t physical_id, bool manage) {
  const Result<bool> enabled = manager.DeviceShare(physical_id);
  if (!enabled.ok()) return enabled.status().WithContext("ask for device-share");
  if (*enabled) return Status::Ok();
  if (!manage) {
    return {StatusCode::kFailedPrecondition,
            "the driver's device-share is off, which sharing.replicas needs: switch it on "
            "(npu-smi set -t device-share) or set sharing.manageDeviceShare"};
  }
  const Status set = manager.SetDeviceShare(physical_id, true);
  if (!set.ok()) {
    return set.WithContext("the driver's device-share is off and cannot be switched on now");
  }
  spdlog::info("device-share switched on: id={}", DeviceId(physical_id));
  return set;
}

}  // namespace

Observation LookAt(hal::DeviceManager& manager, LookScope scope, const SharingSettings& sharing,
                   LinkTable* links) {
  Observation observation{manager.Devices(), {}, {}, {}};
  if (!observation.inventory.ok()) return observation;
  ReadLinks(manager, observation.inventory->devices, links);
  observation.links = *links;
  for (const hal::Device& device : observation.inventory->devices) {
    observation.health.emplace(device.physical_id, manager.Health(device.physical_id));
    if (!sharing.needed) continue;
    observation.sharing.emplace(device.physical_id,
                                CheckDeviceShare(manager, device.physical_id, sharing.manage));
  }
  if (scope == LookScope::kScheduling) return observation;
  for (const hal::Device& device : observation.inventory->devices) {
    const Result<hal::DeviceUsage> usage = manager.Usage(device.physical_id);
    if (usage.ok()) observation.usage[device.physical_id] = *usage;
  }
  const Result<std::string> version = manager.DriverVersion();
  if (version.ok()) observation.driver_version = *version;
  return observation;
}

// Outlives the poller where the thread does not come back.
struct DevicePoller::Shared {
  Shared(OpenDeviceManager open_manager, Deliver deliver_to, const Clock& used_clock,
         const SharingSettings& sharing_settings, hal::FaultHandler fault_handler)
      : open(std::move(open_manager)),
        deliver(std::move(deliver_to)),
        clock(used_clock),
        on_fault(std::move(fault_handler)),
        sharing(sharing_settings) {}

  // Opens the driver and asks for its faults where that is still to be done, then looks. The
  // thread's alone.
  Observation TakeALook();
  void Subscribe();

  const OpenDeviceManager open;
  const Deliver deliver;
  const Clock& clock;
  const hal::FaultHandler on_fault;

  mutable std::mutex mutex;
  SharingSettings sharing;  // guarded by mutex
  std::condition_variable changed;
  bool asked = false;
  bool stopping = false;
  bool ended = false;
  std::optional<TimePoint> busy_since;
  std::thread thread;  // the poller's alone

  // The thread's alone. The manager comes last: until it is gone it reports faults, to the members
  // above.
  bool subscribed = false;
  LookScope scope = LookScope::kScheduling;  // of the next look
  LinkTable links;
  std::unique_ptr<hal::DeviceManager> manager;
};

void DevicePoller::Shared::Subscribe() {
  const Status status = manager->SubscribeFaults([this](const hal::DeviceFault& fault) {
    const std::lock_guard lock(mutex);
    if (!stopping) on_fault(fault);
  });
  // What does not work for the moment is tried again with the next look.
  subscribed = status.code() != StatusCode::kUnavailable;
  if (!status.ok() && subscribed) {
    spdlog::info("faults are seen by polling alone: reason={}", status.message());
  }
}

Observation DevicePoller::Shared::TakeALook() {
  const LookScope scope_now = std::exchange(scope, LookScope::kEverything);
  if (manager == nullptr) {
    auto opened = open();
    if (!opened.ok()) return Observation{opened.status(), {}, {}, {}};
    manager = std::move(*opened);
  }
  if (!subscribed && on_fault) Subscribe();
  SharingSettings used;
  {
    const std::lock_guard lock(mutex);
    used = sharing;
  }
  return LookAt(*manager, scope_now, used, &links);
}

DevicePoller::DevicePoller(OpenDeviceManager open, Deliver deliver, const Clock& clock,
                           const SharingSettings& sharing, hal::FaultHandler on_fault)
    : shared_(std::make_shared<Shared>(std::move(open), std::move(deliver), clock, sharing,
                                       std::move(on_fault))) {
  shared_->thread = std::thread([shared = shared_] { Run(shared); });
}

DevicePoller::~DevicePoller() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  shared_->changed.notify_all();
  const bool ended = shared_->changed.wait_for(lock, kStopGrace, [this] { return shared_->ended; });
  lock.unlock();
  if (ended) {
    shared_->thread.join();
  } else {
    shared_->thread.detach();
  }
}

void DevicePoller::SetSharing(const SharingSettings& sharing) {
  const std::lock_guard lock(shared_->mutex);
  shared_->sharing = sharing;
}

void DevicePoller::Poll() {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->asked || shared_->busy_since) return;
  shared_->asked = true;
  shared_->changed.notify_all();
}

std::optional<Duration> DevicePoller::BusyFor() const {
  const std::lock_guard lock(shared_->mutex);
  if (!shared_->busy_since) return std::nullopt;
  return shared_->clock.Now() - *shared_->busy_since;
}

void DevicePoller::Run(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  for (;;) {
    shared->changed.wait(lock, [&] { return shared->asked || shared->stopping; });
    if (shared->stopping) break;
    shared->asked = false;
    shared->busy_since = shared->clock.Now();
    lock.unlock();

    Observation observation = shared->TakeALook();

    lock.lock();
    shared->busy_since.reset();
    if (shared->stopping) break;
    shared->deliver(std::move(observation));
  }
  shared->ended = true;
  shared->changed.notify_all();
}

}  // namespace npu_ipc::device
