// Contexts, streams and events of interface.h.
#include <atomic>

#include "hal/sim/libruntime/interface.h"
#include "hal/sim/libruntime/process_state.h"
#include "hal/sim/libruntime/stream_lookup.h"

namespace npu_ipc::sim {

RtResult<std::shared_ptr<Stream>> FindStream(const void* handle) {
  ProcessState& state = ProcessState::Get();
  RtResult<std::shared_ptr<Context>> context = state.contexts.Current();
  if (!context.ok()) return context.status();
  if (handle == nullptr) return (*context)->DefaultStream();
  const std::shared_ptr<ContextStream> found = state.streams.Find(handle);
  if (found == nullptr) {
    return RtStatus(ACL_ERROR_RT_INVALID_HANDLE,
                    "no such stream: it has been destroyed, or never was");
  }
  if (found->context != *context) {
    return RtStatus(ACL_ERROR_RT_STREAM_CONTEXT,
                    "the stream belongs to another context than the "
                    "one that is current in this thread");
  }
  return found->stream;
}

namespace rt {
namespace {

RtResult<std::shared_ptr<Event>> FindEvent(const void* handle) {
  std::shared_ptr<Event> event = ProcessState::Get().events.Find(handle);
  if (event == nullptr) {
    return RtStatus(ACL_ERROR_RT_INVALID_HANDLE,
                    "no such event: it has been destroyed, or never was");
  }
  return event;
}

// Runs `action` on both, when there are both.
template <class Action>
rtError_t WithEventAndStream(const void* event, const void* stream, Action action) {
  RtResult<std::shared_ptr<Stream>> found_stream = FindStream(stream);
  if (!found_stream.ok()) return Record(found_stream.status());
  RtResult<std::shared_ptr<Event>> found_event = FindEvent(event);
  if (!found_event.ok()) return Record(found_event.status());
  action(**found_event, **found_stream);
  return ACL_RT_SUCCESS;
}

}  // namespace

rtError_t CreateContext(int32_t device, aclrtContext* context) {
  RtResult<void*> created = ProcessState::Get().contexts.Create(device);
  if (!created.ok()) return Record(created.status());
  *context = *created;
  return ACL_RT_SUCCESS;
}

rtError_t DestroyContext(aclrtContext context) {
  return Record(ProcessState::Get().contexts.Destroy(context));
}

rtError_t SetCurrentContext(aclrtContext context) {
  return Record(ProcessState::Get().contexts.SetCurrent(context));
}

rtError_t GetCurrentContext(aclrtContext* context) {
  RtResult<void*> current = ProcessState::Get().contexts.CurrentHandle();
  if (!current.ok()) return Record(current.status());
  *context = *current;
  return ACL_RT_SUCCESS;
}

rtError_t SynchronizeDevice(int32_t timeout_ms) {
  RtResult<std::shared_ptr<Context>> context = ProcessState::Get().contexts.Current();
  return Record(context.ok() ? (*context)->Synchronize(timeout_ms) : context.status());
}

rtError_t CreateStream(aclrtStream* stream) {
  ProcessState& state = ProcessState::Get();
  RtResult<std::shared_ptr<Context>> context = state.contexts.Current();
  if (!context.ok()) return Record(context.status());
  RtResult<std::shared_ptr<Stream>> created = (*context)->NewStream();
  if (!created.ok()) return Record(created.status());
  auto entry = std::make_shared<ContextStream>(ContextStream{*context, *created});
  *stream = state.streams.Add(std::move(entry));
  return ACL_RT_SUCCESS;
}

rtError_t DestroyStream(aclrtStream stream, bool force) {
  const std::shared_ptr<ContextStream> removed = ProcessState::Get().streams.Remove(stream);
  if (removed == nullptr) {
    return Fail(ACL_ERROR_RT_INVALID_HANDLE, "no such stream: it has been destroyed, or never was");
  }
  if (force) {
    removed->stream->Abort();
  } else {
    removed->stream->Finish();
  }
  removed->context->Forget(removed->stream);
  return ACL_RT_SUCCESS;
}

rtError_t SynchronizeStream(aclrtStream stream, int32_t timeout_ms) {
  RtResult<std::shared_ptr<Stream>> found = FindStream(stream);
  return Record(found.ok() ? (*found)->Synchronize(timeout_ms) : found.status());
}

rtError_t QueryStream(aclrtStream stream, aclrtStreamStatus* status) {
  RtResult<std::shared_ptr<Stream>> found = FindStream(stream);
  if (!found.ok()) return Record(found.status());
  *status = (*found)->IsIdle() ? ACL_STREAM_STATUS_COMPLETE : ACL_STREAM_STATUS_NOT_READY;
  return ACL_RT_SUCCESS;
}

rtError_t StreamId(aclrtStream stream, int32_t* id) {
  RtResult<std::shared_ptr<Stream>> found = FindStream(stream);
  if (!found.ok()) return Record(found.status());
  *id = (*found)->id();
  return ACL_RT_SUCCESS;
}

rtError_t CreateEvent(bool record_first, aclrtEvent* event) {
  static constinit std::atomic<uint32_t> next_id{0};
  ProcessState& state = ProcessState::Get();
  RtResult<std::shared_ptr<Context>> context = state.contexts.Current();
  if (!context.ok()) return Record(context.status());
  const Event::Order order = record_first ? Event::Order::kRecordFirst : Event::Order::kAny;
  *event = state.events.Add(std::make_shared<Event>(next_id.fetch_add(1), order));
  return ACL_RT_SUCCESS;
}

rtError_t DestroyEvent(aclrtEvent event) {
  if (ProcessState::Get().events.Remove(event) != nullptr) return ACL_RT_SUCCESS;
  return Fail(ACL_ERROR_RT_INVALID_HANDLE, "no such event: it has been destroyed, or never was");
}

rtError_t RecordEvent(aclrtEvent event, aclrtStream stream) {
  return WithEventAndStream(event, stream, [](Event& e, Stream& s) { e.Record(s); });
}

rtError_t ResetEvent(aclrtEvent event, aclrtStream stream) {
  return WithEventAndStream(event, stream, [](Event& e, Stream& s) { e.Reset(s); });
}

rtError_t WaitEvent(aclrtStream stream, aclrtEvent event) {
  return WithEventAndStream(event, stream, [](Event& e, Stream& s) { e.Wait(s); });
}

rtError_t QueryEvent(aclrtEvent event, bool* complete) {
  RtResult<std::shared_ptr<Event>> found = FindEvent(event);
  if (!found.ok()) return Record(found.status());
  *complete = (*found)->IsComplete();
  return ACL_RT_SUCCESS;
}

rtError_t QueryEventWaits(aclrtEvent event, bool* ended) {
  RtResult<std::shared_ptr<Event>> found = FindEvent(event);
  if (!found.ok()) return Record(found.status());
  *ended = (*found)->WaitsHaveEnded();
  return ACL_RT_SUCCESS;
}

rtError_t SynchronizeEvent(aclrtEvent event, int32_t timeout_ms) {
  RtResult<std::shared_ptr<Event>> found = FindEvent(event);
  return Record(found.ok() ? (*found)->Synchronize(timeout_ms) : found.status());
}

rtError_t EventElapsedTime(aclrtEvent start, aclrtEvent end, float* ms) {
  uint64_t from = 0;
  uint64_t to = 0;
  if (const rtError_t error = EventTimestamp(start, &from); error != 0) return error;
  if (const rtError_t error = EventTimestamp(end, &to); error != 0) return error;
  if (to < from) {
    return Fail(ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL,
                "the end event was reached before the start");
  }
  *ms = static_cast<float>(to - from) / 1000.0F;
  return ACL_RT_SUCCESS;
}

rtError_t EventTimestamp(aclrtEvent event, uint64_t* microseconds) {
  RtResult<std::shared_ptr<Event>> found = FindEvent(event);
  if (!found.ok()) return Record(found.status());
  RtResult<uint64_t> timestamp = (*found)->Timestamp();
  if (!timestamp.ok()) return Record(timestamp.status());
  *microseconds = *timestamp;
  return ACL_RT_SUCCESS;
}

rtError_t EventId(aclrtEvent event, uint32_t* id) {
  RtResult<std::shared_ptr<Event>> found = FindEvent(event);
  if (!found.ok()) return Record(found.status());
  *id = (*found)->id();
  return ACL_RT_SUCCESS;
}

}  // namespace rt
}  // namespace npu_ipc::sim
