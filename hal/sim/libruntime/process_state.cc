#include "hal/sim/libruntime/process_state.h"

#include <unistd.h>

namespace npu_ipc::sim {

ProcessState::ProcessState(ProcessState* inherited)
    : contexts(devices, &ProcessState::DeviceClosed),
      host_registrations(addresses),
      ipc_memory(devices, addresses),
      owner_(::getpid()),
      inherited_(inherited) {}

ProcessState& ProcessState::Get() {
  static constinit std::atomic<ProcessState*> current{nullptr};
  ProcessState* state = current.load(std::memory_order_acquire);
  if (state != nullptr && state->owner_ == ::getpid()) return *state;
  ProcessState* const own = new ProcessState(state);
  if (current.compare_exchange_strong(state, own, std::memory_order_acq_rel)) return *own;
  delete own;
  return *state;
}

void ProcessState::DeviceClosed(uint32_t physical_device) {
  // The driver has freed and closed what the process had there when it closed the device.
  ProcessState& state = Get();
  state.ipc_memory.ForgetDevice(physical_device);
  state.addresses.ForgetDevice(physical_device);
}

}  // namespace npu_ipc::sim
