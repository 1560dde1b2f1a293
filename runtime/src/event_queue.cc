#include "runtime/src/event_queue.h"

#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {

void EventQueue::CloseDescriptors() {
  read_end_.Close();
  write_end_.Close();
}

void EventQueue::Push(EventSource* source, npu_ipc_event_type type) {
  source->type = type;
  waiting_.Remove(source);
  waiting_.PushBack(source);
  UpdateDescriptor();
}

void EventQueue::Drop(EventSource* source) {
  waiting_.Remove(source);
  UpdateDescriptor();
}

bool EventQueue::Pop(npu_ipc_event* event) {
  const EventSource* const source = waiting_.PopFront();
  if (source == nullptr) return false;
  event->type = source->type;
  event->mapping = source->mapping;
  event->region = source->region;
  event->subscription = source->subscription;
  UpdateDescriptor();
  return true;
}

int EventQueue::ReadableDescriptor() {
  if (!read_end_.StillOurs() || !write_end_.StillOurs()) {
    read_end_.Close();
    write_end_.Close();
    int ends[2] = {-1, -1};
    if (MakePipe(ends) != 0) return -1;
    read_end_ = Descriptor(ends[0]);
    write_end_ = Descriptor(ends[1]);
    signalled_ = false;
    UpdateDescriptor();
  }
  return read_end_.number();
}

void EventQueue::UpdateDescriptor() {
  const bool wanted = !waiting_.empty();
  if (wanted == signalled_ || read_end_.number() < 0) return;
  char byte = 0;
  if (wanted) {
    if (write_end_.StillOurs()) WriteDescriptor(write_end_.number(), &byte, 1);
  } else {
    if (read_end_.StillOurs()) ReadDescriptor(read_end_.number(), &byte, 1);
  }
  signalled_ = wanted;
}

}  // namespace npu_ipc::runtime
