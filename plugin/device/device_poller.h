// The one thread that calls the vendor's library, which may not come back from a call.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "hal/base/clock.h"
#include "npu_ipc/hal/device_manager.h"
#include "plugin/device/device_table.h"

namespace npu_ipc::device {

// What is asked of the driver where a card is offered to several containers at once.
struct SharingSettings {
  bool needed = false;  // ask for each card's device-share
  bool manage = false;  // switch it on where it is off and the card is free
};

// How much of the driver is asked in one look. What is measured (temperatures, memory in use) takes
// several calls a device, each of which may wait for its firmware, and no container is scheduled by
// it.
enum class LookScope { kScheduling, kEverything };

// One look, on the calling thread, which waits for the driver. `links` are those that are known
// already, and then those of the devices that are there.
Observation LookAt(hal::DeviceManager& manager, LookScope scope, const SharingSettings& sharing,
                   LinkTable* links);

// Looks at the driver when asked to. The vendor library is opened on this thread too, again at each
// look until that succeeds: drivers are installed and reset under a running node. The first look is
// of LookScope::kScheduling, as the kubelet waits for it. Thread safe, but for the destructor.
class DevicePoller {
 public:
  using OpenDeviceManager = std::function<Result<std::unique_ptr<hal::DeviceManager>>()>;
  using Deliver =
      std::function<void(Observation)>;  // called on the poller's thread; must not block

  // `on_fault` hears of faults as they happen, where the driver tells of them: on a thread of the
  // vendor's, and until the destructor; it must not block.
  DevicePoller(OpenDeviceManager open, Deliver deliver, const Clock& clock = SystemClock(),
               const SharingSettings& sharing = {}, hal::FaultHandler on_fault = nullptr);
  // Waits up to `kStopGrace` for a call that is under way. A thread that has not come back by then
  // is left to itself, with what it uses, and delivers nothing any more.
  ~DevicePoller();
  DevicePoller(const DevicePoller&) = delete;
  DevicePoller& operator=(const DevicePoller&) = delete;

  static constexpr Duration kStopGrace = std::chrono::seconds(2);

  // From the next look on.
  void SetSharing(const SharingSettings& sharing);

  // Asks for one look. Nothing, while one is under way.
  void Poll();

  // For how long the look under way has been; empty between looks.
  std::optional<Duration> BusyFor() const;

 private:
  struct Shared;
  static void Run(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;
};

}  // namespace npu_ipc::device
