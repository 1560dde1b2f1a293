// What the node's accelerators are and how they are: the only view of a vendor that plugin/ has.
#pragma once

#include <stdint.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hal/base/result.h"

namespace npu_ipc::hal {

enum class ChipFamily {
  kAscend910B,  // Atlas A2: one die a card
  kAscend910C,  // Atlas A3: two dies a module
};

// "Ascend910B", "Ascend910C".
const char* ChipFamilyName(ChipFamily family);

// One schedulable device: a chip of a 910B card, or one die of a 910C module.
struct Device {
  uint32_t physical_id =
      0;  // N of /dev/davinciN; what containers, rtEnableP2P and the audit files use
  uint32_t logical_id = 0;  // this process' own numbering; changes when devices come and go
  uint32_t card_id = 0;     // DCMI's card: a 910C module is one card with two devices
  uint32_t device_id_in_card = 0;
  ChipFamily family = ChipFamily::kAscend910B;
  std::string chip_name;             // "910B3", "Ascend910_9391": as the driver names it
  std::string serial;                // stable over reboots and slots; empty if the driver has none
  std::string pci_address;           // "0000:c1:00.0"; empty if unknown
  uint64_t memory_bytes = 0;         // on-chip memory, whole
  std::optional<int32_t> numa_node;  // of its PCI slot
  std::string device_node;           // "/dev/davinci3"

  friend bool operator==(const Device&, const Device&) = default;
};

enum class HealthLevel {
  kOk,        // DCMI 0
  kMinor,     // DCMI 1: usable
  kMajor,     // DCMI 2: usable, repair soon
  kCritical,  // DCMI 3: do not schedule
  kAbsent,    // DCMI 0xFFFFFFFF: not there, or not started
};
const char* HealthLevelName(HealthLevel level);

struct DeviceHealth {
  HealthLevel level = HealthLevel::kOk;
  std::vector<uint32_t> fault_codes;  // what the driver reports now, if it can
};

// How two devices reach each other, as DCMI's topology says.
enum class LinkType {
  kSelf,
  kSystem,
  kPciHost,
  kHccs,
  kPciMulti,
  kPciSwitch,
  kSio,
  kHccsSwitch,
  kUb,
  kUnknown
};
const char* LinkTypeName(LinkType link);
// Whether peer access can work over such a link: HCCS, HCCS_SW, SIO and UB (and a device and
// itself), and PIX: devices below one PCIe switch (driver: devdrv_pci_topo_support_p2p), as are
// cards at the same position of a Box16's two groups.
bool LinkCarriesPeerAccess(LinkType link);

// Empty where the driver cannot tell.
struct DeviceUsage {
  std::optional<uint64_t> memory_used_bytes;
  std::optional<uint32_t> memory_bandwidth_percent;
  std::optional<int32_t> temperature_celsius;         // the chip's; the memory's where it has none
  std::optional<int32_t> memory_temperature_celsius;  // on-chip memory
  std::optional<uint32_t> ai_core_percent;
  std::optional<uint32_t> ai_cpu_percent;
  std::optional<uint32_t> vector_core_percent;

  friend bool operator==(const DeviceUsage&, const DeviceUsage&) = default;
};

enum class FaultSeverity { kNotice, kMinor, kMajor, kCritical };
const char* FaultSeverityName(FaultSeverity severity);

enum class FaultChange {
  kCleared,
  kRaised,
  kOccurred,  // has no end
};
const char* FaultChangeName(FaultChange change);

// What the driver reports of a device's faults, as it happens. The vendor documents the codes
// ("health management fault definitions"); they are those of DeviceHealth::fault_codes.
struct DeviceFault {
  // Empty where the last inventory has no device of the driver's number: take one and look.
  std::optional<uint32_t> physical_id;
  uint32_t code = 0;
  FaultSeverity severity = FaultSeverity::kCritical;
  FaultChange change = FaultChange::kOccurred;
  std::string description;  // the driver's, for a person
};
using FaultHandler = std::function<void(const DeviceFault&)>;

// A process that holds device memory, by its pid in the host's PID namespace.
struct DeviceProcess {
  int32_t host_pid = 0;
  uint64_t memory_bytes = 0;
};

// A chip that the driver lists and that is not served: of another family, a controller, or one that
// does not answer.
struct SkippedDevice {
  std::string name;    // "card 3 device 1"
  std::string reason;  // for a person
  bool failed =
      false;  // it may well be one of ours: the driver did not answer, or answered nonsense
};

struct DeviceInventory {
  std::vector<Device> devices;         // by ascending physical id, each once
  std::vector<SkippedDevice> skipped;  // by card and device
};

// Implementations are safe for concurrent use. Any call may block for as long as the driver does
// (seconds when it resets a device): call from a thread that may wait. Devices are named by
// physical id; one that is not there gives kNotFound. Driver errors keep the vendor's code in the
// message; kUnavailable for the ones that pass by themselves (not ready, resetting, upgrading,
// timeout).
class DeviceManager {
 public:
  virtual ~DeviceManager() = default;

  // All devices of this node, asked anew; `devices` is empty on a node without NPUs. An error only
  // when the driver as a whole does not answer: one device that fails is in `skipped`. The other
  // calls name devices by what the last inventory said (and take one themselves if there was none).
  virtual Result<DeviceInventory> Devices() = 0;
  virtual Result<DeviceHealth> Health(uint32_t physical_id) = 0;
  virtual Result<DeviceUsage> Usage(uint32_t physical_id) = 0;
  virtual Result<std::vector<DeviceProcess>> Processes(uint32_t physical_id) = 0;
  virtual Result<LinkType> Link(uint32_t physical_id_a, uint32_t physical_id_b) = 0;
  // May two containers use the card at once? (`npu-smi set -t device-share`.)
  virtual Result<bool> DeviceShare(uint32_t physical_id) = 0;
  // kFailedPrecondition while the card is in use.
  virtual Status SetDeviceShare(uint32_t physical_id, bool enabled) = 0;
  // Has `handler` called for each fault that is raised or cleared from now on, until the
  // DeviceManager is destroyed: the destructor waits for a call under way. Calls come one after
  // another, on a thread of the vendor's library; `handler` must not block, nor use a
  // DeviceManager. Events can be lost (the driver starts anew, or reports faster than it is read),
  // so Health is to be asked as well. kUnimplemented where the driver has no subscription;
  // kFailedPrecondition when this DeviceManager has a handler already, or the driver has as many
  // subscribers as it takes (64 processes on a node).
  virtual Status SubscribeFaults(FaultHandler handler) = 0;
  // "24.1.rc3", as the driver says.
  virtual Result<std::string> DriverVersion() = 0;
};

// The node's vendor library, loaded and initialised. `library` is a SONAME or a path
// ("libdcmi.so"); `sysfs` is where the kernel's is mounted (NUMA nodes are read there). kNotFound
// when the library cannot be loaded; kFailedPrecondition naming every required function that it
// lacks; what dcmi_init says when that fails, kUnavailable while the driver is not up yet. A
// function that is not required and missing makes the calls that rest on it kUnimplemented, or
// leaves the one field empty.
Result<std::unique_ptr<DeviceManager>> OpenDcmi(const std::string& library,
                                                const std::string& sysfs = "/sys");

}  // namespace npu_ipc::hal
