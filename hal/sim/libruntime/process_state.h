// Everything that the runtime keeps, of one process.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <atomic>
#include <mutex>

#include "hal/sim/libruntime/address_space.h"
#include "hal/sim/libruntime/contexts.h"
#include "hal/sim/libruntime/devices.h"
#include "hal/sim/libruntime/event.h"
#include "hal/sim/libruntime/handle_table.h"
#include "hal/sim/libruntime/host_memory.h"
#include "hal/sim/libruntime/host_registrations.h"
#include "hal/sim/libruntime/ipc_memory.h"

namespace npu_ipc::sim {

// A stream and the context that it ends with.
struct ContextStream {
  std::shared_ptr<Context> context;
  std::shared_ptr<Stream> stream;
};

// Never destroyed: stream threads and the program's own outlive every orderly end.
class ProcessState {
 public:
  // The calling process'. A forked child starts from nothing: its parent's contexts, streams,
  // memory and locks are the parent's (no thread of theirs runs in the child), so they are left
  // where they lie and every handle that the child inherited names nothing.
  static ProcessState& Get();

  ProcessState(const ProcessState&) = delete;
  ProcessState& operator=(const ProcessState&) = delete;

  Devices devices;
  Contexts contexts;
  AddressSpace addresses;
  HostMemory host_memory;
  HostRegistrations host_registrations;
  IpcMemory ipc_memory;
  HandleTable<ContextStream, HandleKind::kStream> streams;
  HandleTable<Event, HandleKind::kEvent> events;

  // aclInit and aclFinalize count.
  std::mutex init_mutex;
  uint32_t init_count = 0;      // guarded by init_mutex
  bool finalized_once = false;  // guarded by init_mutex

 private:
  explicit ProcessState(ProcessState* inherited);
  static void DeviceClosed(uint32_t physical_device);

  const pid_t owner_;
  [[maybe_unused]] ProcessState* const inherited_;  // kept reachable, never touched
};

}  // namespace npu_ipc::sim
