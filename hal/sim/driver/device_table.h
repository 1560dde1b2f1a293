// Who has which device: the driver's rule that a device belongs to one container at a time.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <unordered_map>
#include <vector>

#include "hal/sim/driver/process_facts.h"
#include "hal/sim/driver/verdict.h"

namespace npu_ipc::sim {

// A device is bound to the first mount namespace that opens it and free again when all opens from
// there are closed. Processes of the host's mount namespace and of admin containers neither bind a
// device nor are kept from it; device-share lets several namespaces in (driver: uda_access.c).
// Not thread safe.
class DeviceTable {
 public:
  explicit DeviceTable(uint32_t device_count) : devices_(device_count) {}

  // Counted a process. ENODEV: not in its /dev. EBUSY: another container has it.
  Verdict Open(const ProcessFacts& process, uint32_t device);
  // EINVAL: not open by this process. `was_last` says whether it was this process' last open.
  Verdict Close(pid_t pid, uint32_t device, bool* was_last);
  // Whether the process may look at the device without opening it; errors as Open().
  Verdict CheckAccess(const ProcessFacts& process, uint32_t device) const;
  // EPERM: neither host nor admin. EINVAL: no such device. EBUSY: a container has it.
  Verdict SetShared(const ProcessFacts& process, uint32_t device, bool shared);

  bool IsOpen(pid_t pid, uint32_t device) const;
  bool IsShared(uint32_t device) const { return devices_[device].shared; }
  std::vector<pid_t> ProcessesOn(uint32_t device) const;  // in no order
  // Closes whatever the process has open.
  void Release(pid_t pid);

 private:
  struct ProcessOpens {
    uint64_t mount_namespace = 0;  // 0: host or admin, which bind nothing
    uint32_t count = 0;
  };
  struct Device {
    bool shared = false;
    std::unordered_map<pid_t, ProcessOpens> processes;
    std::unordered_map<uint64_t, uint32_t> namespaces;  // mount namespace -> processes in it
  };

  static void Forget(Device& device, pid_t pid);

  std::vector<Device> devices_;
};

}  // namespace npu_ipc::sim
