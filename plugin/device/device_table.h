// What is known of the node's devices, from one look at the driver to the next: pure logic, no
// threads, no clock.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "npu_ipc/hal/device_manager.h"
#include "plugin/device/fault_table.h"

namespace npu_ipc::device {

// The id that the kubelet knows a device by: "npu-3" for /dev/davinci3. The physical id is of the
// slot, so it is the same after restarts and reboots, and after a replacement of the card, as is
// what a container was given: the device node of that number. A logical id moves when a device
// falls out, a serial number is not of every driver.
std::string DeviceId(uint32_t physical_id);

// How devices reach each other, by pairs of physical ids, the lower first. Pairs that the driver
// said nothing of are not in it.
using LinkTable = std::map<std::pair<uint32_t, uint32_t>, hal::LinkType>;
// In either order; kUnknown where the table has nothing, kSelf for a device and itself.
hal::LinkType LinkBetween(const LinkTable& links, uint32_t physical_id_a, uint32_t physical_id_b);

struct SchedulableDevice {
  std::string id;
  hal::Device hardware;  // as it was last seen
  bool healthy = false;
  std::string reason;    // why it is not healthy, for a person
  std::string degraded;  // the codes of faults that leave it usable; "" where there are none
  bool operator==(const SchedulableDevice&) const;
};

// What holds of the node at one moment. Never changes once made; shared between threads.
struct Snapshot {
  std::vector<SchedulableDevice> devices;  // by ascending physical id
  // Why the driver does not answer, or which devices it could not show; "" if all is well.
  std::string problem;
  LinkTable links;
};

// One look at the driver.
struct Observation {
  Result<hal::DeviceInventory> inventory;
  std::map<uint32_t, Result<hal::DeviceHealth>>
      health;                                  // by physical id, of those in the inventory
  LinkTable links;                             // of those in the inventory
  std::map<uint32_t, hal::DeviceUsage> usage;  // by physical id, as far as the driver said
  std::string driver_version;                  // "" if it did not
  // Whether several containers may use a device at once, where that was asked: by physical id, why
  // not.
  std::map<uint32_t, Status> sharing;
};

// An answer of the driver's counts at once, as does a fault that it reports; silence and passing
// errors must last, and so must recovery. A device that keeps falling ill must be well for longer
// each time: for twice as many looks as before, up to 32 times as many, until it has stayed healthy
// for `calm` looks.
struct HealthThresholds {
  int failures = 3;    // looks in a row without an answer until a device is unhealthy
  int recoveries = 2;  // looks in a row that are good until it is healthy again
  int calm = 60;       // looks as a healthy device until earlier falls are forgotten
};

// Devices once seen are kept: one that vanishes is unhealthy, and healthy again when it comes back,
// under whatever logical id. Not thread safe.
class DeviceTable {
 public:
  explicit DeviceTable(const HealthThresholds& thresholds, FaultTable faults = {});

  // Takes in one look. True when the snapshot is another one than before.
  bool Observe(const Observation& observation);
  // The driver has not come back from a call: no device can be trusted with a new container. True
  // when the snapshot is another one than before.
  bool ObserveHang(const std::string& problem);

  // Judges by these from the next look on.
  void SetFaults(const FaultTable& faults) { faults_ = faults; }

  std::shared_ptr<const Snapshot> snapshot() const { return snapshot_; }

 private:
  struct Entry {
    SchedulableDevice device;
    bool seen = false;  // has ever been judged
    int failures = 0;   // in a row
    int recoveries = 0;
    int falls = 0;       // from healthy to unhealthy, not forgotten yet
    int calm_looks = 0;  // good ones as a healthy device, in a row
  };
  enum class Verdict { kGood, kBad, kUnanswered };

  void Judge(Entry& entry, Verdict verdict, const std::string& reason) const;
  void JudgeGood(Entry& entry, bool first) const;
  void JudgePresent(Entry& entry, const Observation& observation) const;
  void ObserveInventory(const Observation& observation);
  bool Publish(std::string problem);

  const HealthThresholds thresholds_;
  FaultTable faults_;
  LinkTable links_;  // as last seen; those of a device that vanished are kept, as it is
  std::map<uint32_t, Entry> entries_;  // by physical id
  std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace npu_ipc::device
