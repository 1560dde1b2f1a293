// The simulated driver: all of its state, and the answer to each request.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "hal/sim/driver/device_conditions.h"
#include "hal/sim/driver/device_table.h"
#include "hal/sim/driver/memory.h"
#include "hal/sim/driver/node_shape.h"
#include "hal/sim/driver/peer_access.h"
#include "hal/sim/driver/process_facts.h"
#include "hal/sim/driver/protocol.h"
#include "hal/sim/driver/shares.h"
#include "hal/sim/driver/validity_page.h"
#include "hal/sim/driver/verdict.h"

namespace npu_ipc::sim {

// Knows processes and requests, no sockets. Not thread safe: the daemon's one thread owns it.
class Driver {
 public:
  struct Answer {
    Reply reply = {};
    int descriptor = -1;  // to be passed along, or -1; the driver's own, valid until the next call
    const char* reason = "";  // why reply.error is not 0, for the log
  };

  // `observer` outlives this object, unless it is nullptr. `boot_time_ns` is CLOCK_BOOTTIME.
  Driver(NodeShape shape, std::function<uint64_t()> boot_time_ns, ShareObserver* observer);

  const NodeShape& shape() const { return shape_; }

  // A process that is not known yet, or new facts of one that is.
  void SetFacts(const ProcessFacts& facts);
  // Takes back all that the process holds, as the real driver does when its descriptors are closed.
  void EndProcess(pid_t pid);
  // Answers one request of a process that SetFacts() has named. Whatever the request holds, it
  // harms nobody else.
  Answer Handle(pid_t pid, const Request& request);

  // How the devices are, to be changed at will.
  DeviceConditions& conditions() { return conditions_; }
  const DeviceConditions& conditions() const { return conditions_; }
  // Whether the request is one that the driver never answers as it is now.
  bool Hangs(const Request& request) const;

  // The processes that are to hear of faults, and what each of them hears of one; empty where it
  // does not see the device.
  const std::set<pid_t>& fault_subscribers() const { return fault_subscribers_; }
  std::optional<FaultMessage> FaultMessageFor(pid_t pid, uint32_t device, const Fault& fault,
                                              FaultAssertion assertion);

  void UnsubscribeFaults(pid_t pid) { fault_subscribers_.erase(pid); }

  uint64_t MemoryUsed(uint32_t device) const;
  std::vector<pid_t> ProcessesOn(uint32_t device) const { return devices_.ProcessesOn(device); }
  bool IsShared(uint32_t device) const { return devices_.IsShared(device); }

 private:
  struct Process {
    ProcessFacts facts;
    std::unique_ptr<ValidityPage> page;
  };

  // The code that a DCMI call fails with as it was asked for, or 0.
  int32_t DcmiFailure(const Request& request) const;
  std::vector<uint32_t> VisibleDevices(const ProcessFacts& facts) const;
  Verdict CheckAccess(const ProcessFacts& facts, uint32_t device) const;
  Verdict SetDeviceShare(const ProcessFacts& facts, const Request& request);
  Verdict SubscribeFaults(pid_t pid);
  Verdict Dispatch(Process& process, const Request& request, Answer* answer);
  Verdict DispatchShare(Process& process, const Request& request, Answer* answer);
  Verdict Hello(Process& process, Answer* answer);
  Verdict CloseDevice(Process& process, const Request& request);
  Verdict Allocate(Process& process, const Request& request, Answer* answer);
  Verdict Free(Process& process, const Request& request);
  Verdict EnablePeer(Process& process, const Request& request);
  Verdict CreateShare(Process& process, const Request& request, Answer* answer);
  Verdict OpenShare(Process& process, const Request& request, Answer* answer);
  Verdict DescribeShare(const std::string& key, Answer* answer) const;
  Verdict DescribeDevice(Process& process, uint32_t device, DeviceRecord* record) const;
  Verdict DescribeLink(Process& process, const Request& request, Answer* answer) const;
  Verdict ListProcesses(Process& process, uint32_t device, ProcessList* list) const;
  bool EnsurePage(Process& process) const;
  void FreeMemory(uint64_t handle);

  NodeShape shape_;
  DeviceTable devices_;
  Memory memory_;
  PeerAccess peers_;
  Shares shares_;
  DeviceConditions conditions_;
  std::set<pid_t> fault_subscribers_;
  int32_t next_fault_message_ = 1;
  std::unordered_map<pid_t, Process> processes_;
};

}  // namespace npu_ipc::sim
