// What changes of a node while its driver runs: how each device is, and which there are.
#pragma once

#include <stdint.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "hal/sim/driver/node_shape.h"
#include "hal/sim/driver/protocol.h"
#include "hal/sim/driver/verdict.h"

namespace npu_ipc::sim {

struct Fault {
  uint32_t code = 0;
  uint32_t severity = 0;   // DCMI: 0 notice, 1 minor, 2 major, 3 critical
  uint32_t node_type = 0;  // of the part that is faulty
  int32_t serial_number = 0;
  uint64_t raised_at_ms = 0;  // since the epoch
  std::string name;
};

// DCMI: dcmi_dms_fault_event::assertion.
enum class FaultAssertion : uint32_t { kCleared = 0, kRaised = 1, kOccurred = 2 };

struct DeviceCondition {
  static constexpr int kHealthOfFaults = -1;

  bool present = true;
  int64_t health = kHealthOfFaults;  // else DCMI's number
  std::vector<Fault> faults;         // each code once, in order of being raised
  int32_t temperature_celsius = 0;
  uint32_t utilization_percent[16] = {};  // by DCMI's type number; memory's follows its use
  uint64_t extra_memory_bytes = 0;        // in use, beside what processes have allocated

  // DCMI's number: what was set, or the severity of the worst fault.
  uint32_t Health() const;
};

// What DCMI does instead of answering.
struct DcmiTrouble {
  bool hangs = false;
  int32_t code = 0;  // one of DCMI_ERR_CODE_*, or 0
};

// Not thread safe. Devices are named by physical id and must be of the node.
class DeviceConditions {
 public:
  using FaultCallback =
      std::function<void(uint32_t device, const Fault& fault, FaultAssertion assertion)>;

  // `time_ms`: milliseconds since the epoch.
  DeviceConditions(const NodeShape& shape, std::function<uint64_t()> time_ms);

  // Called for each change of a fault.
  void OnFault(FaultCallback callback) { on_fault_ = std::move(callback); }

  const DeviceCondition& Get(uint32_t device) const { return devices_[device]; }
  DeviceCondition& Mutable(uint32_t device) { return devices_[device]; }

  // Physical ids of the devices that are there, by logical id.
  const std::vector<uint32_t>& order() const { return order_; }
  bool IsPresent(uint32_t device) const {
    return device < devices_.size() && devices_[device].present;
  }
  // ENODEV: gone already.
  Verdict Remove(uint32_t device);
  // As logical id `position` (those from there on move up by one), or where its physical id belongs
  // if that is -1. EEXIST: it is there. EINVAL: beyond the end.
  Verdict Restore(uint32_t device, int64_t position);

  // ENOSPC: the device has as many faults as a record holds. A code that is there already is raised
  // anew.
  Verdict Raise(uint32_t device, Fault fault);
  // ENOENT: it has no such fault.
  Verdict Clear(uint32_t device, uint32_t code);
  void ClearAll(uint32_t device);
  // A fault that has no end.
  void Report(uint32_t device, Fault fault);

  // Of every call, and of those about one device.
  DcmiTrouble& trouble() { return trouble_; }
  DcmiTrouble& TroubleOf(uint32_t device) { return device_trouble_[device]; }
  const DcmiTrouble& trouble() const { return trouble_; }
  const DcmiTrouble& TroubleOf(uint32_t device) const { return device_trouble_[device]; }

 private:
  void Tell(uint32_t device, const Fault& fault, FaultAssertion assertion);

  std::function<uint64_t()> time_ms_;
  FaultCallback on_fault_ = [](uint32_t, const Fault&, FaultAssertion) {};
  std::vector<DeviceCondition> devices_;
  std::vector<uint32_t> order_;
  DcmiTrouble trouble_;
  std::vector<DcmiTrouble> device_trouble_;
  int32_t next_serial_number_ = 1;
};

}  // namespace npu_ipc::sim
