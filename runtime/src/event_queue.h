// What a client's program is told unasked.
#pragma once

#include <stdint.h>

#include "runtime/include/npu_ipc.h"
#include "runtime/src/descriptor.h"
#include "runtime/src/list.h"

namespace npu_ipc::runtime {

// What an event can be about. It waits in the queue at most once, with the latest that happened to
// it, behind what happened before that: so the queue is bounded without losing anything, and
// allocates nothing.
struct EventSource : ListLink<EventSource> {
  npu_ipc_event_type type = NPU_IPC_EVENT_DISCONNECTED;
  npu_ipc_mapping* mapping = nullptr;
  npu_ipc_region* region = nullptr;
  npu_ipc_subscription* subscription = nullptr;
};

// Guarded by its client's lock.
class EventQueue {
 public:
  EventQueue() = default;
  ~EventQueue() { CloseDescriptors(); }
  void CloseDescriptors();

  void Push(EventSource* source, npu_ipc_event_type type);
  // Drops what waits about `source`, which is about to end.
  void Drop(EventSource* source);
  // False when nothing waits.
  bool Pop(npu_ipc_event* event);

  // A descriptor that is readable while something waits; -1 if it cannot be made.
  int ReadableDescriptor();

 private:
  // Makes the pipe hold a byte exactly while the queue is not empty.
  void UpdateDescriptor();

  List<EventSource> waiting_;
  // A pipe and not an eventfd: its inode tells whether the number is still ours.
  Descriptor read_end_;
  Descriptor write_end_;
  bool signalled_ = false;
};

}  // namespace npu_ipc::runtime
