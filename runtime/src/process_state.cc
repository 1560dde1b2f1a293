#include "runtime/src/process_state.h"

#include <atomic>

#include "runtime/src/memory.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {
namespace {

constinit std::atomic<ProcessState*> current{nullptr};

}  // namespace

ProcessState* ThisProcess() {
  const pid_t pid = ProcessId();
  ProcessState* known = current.load(std::memory_order_acquire);
  if (known != nullptr && known->pid == pid) return known;
  ProcessState* const made = New<ProcessState>();
  if (made == nullptr) return nullptr;
  made->pid = pid;
  while (!current.compare_exchange_weak(known, made, std::memory_order_acq_rel)) {
    if (known != nullptr && known->pid == pid) {
      Delete(made);
      return known;
    }
  }
  return made;
}

}  // namespace npu_ipc::runtime
