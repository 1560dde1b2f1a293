#include "acl/acl.h"
#include "hal/sim/libascendcl/arguments.h"

namespace rt = npu_ipc::sim::rt;
using npu_ipc::sim::InvalidTimeout;
using npu_ipc::sim::IsTimeout;
using npu_ipc::sim::NotBuiltWith;

namespace {

// Every event here can be waited for and has a time, whatever its flags ask for; what it cannot is
// to be another process' too.
aclError Create(const char* function, bool record_first, uint32_t flag, aclrtEvent* event) {
  if ((flag & ACL_EVENT_IPC) != 0) return NotBuiltWith(function, "with ACL_EVENT_IPC");
  return rt::CreateEvent(record_first, event);
}

}  // namespace

aclError aclrtCreateEvent(aclrtEvent* event) {
  REQUIRE_NOT_NULL(event);
  return rt::CreateEvent(false, event);
}

aclError aclrtCreateEventWithFlag(aclrtEvent* event, uint32_t flag) {
  REQUIRE_NOT_NULL(event);
  return Create(__func__, false, flag, event);
}

aclError aclrtCreateEventExWithFlag(aclrtEvent* event, uint32_t flag) {
  REQUIRE_NOT_NULL(event);
  return Create(__func__, true, flag, event);
}

aclError aclrtDestroyEvent(aclrtEvent event) {
  REQUIRE_NOT_NULL(event);
  return rt::DestroyEvent(event);
}

aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
  REQUIRE_NOT_NULL(event);
  return rt::RecordEvent(event, stream);
}

aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream) {
  REQUIRE_NOT_NULL(event);
  return rt::ResetEvent(event, stream);
}

aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
  REQUIRE_NOT_NULL(event);
  return rt::WaitEvent(stream, event);
}

aclError aclrtSynchronizeEvent(aclrtEvent event) {
  REQUIRE_NOT_NULL(event);
  return rt::SynchronizeEvent(event, -1);
}

aclError aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout) {
  if (!IsTimeout(timeout)) return InvalidTimeout(__func__, timeout);
  REQUIRE_NOT_NULL(event);
  return rt::SynchronizeEvent(event, timeout);
}

aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus* status) {
  REQUIRE_NOT_NULL(event);
  REQUIRE_NOT_NULL(status);
  bool complete = false;
  if (const aclError error = rt::QueryEvent(event, &complete); error != ACL_SUCCESS) return error;
  *status = complete ? ACL_EVENT_STATUS_COMPLETE : ACL_EVENT_STATUS_NOT_READY;
  return ACL_SUCCESS;
}

aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus* status) {
  REQUIRE_NOT_NULL(event);
  REQUIRE_NOT_NULL(status);
  bool complete = false;
  if (const aclError error = rt::QueryEvent(event, &complete); error != ACL_SUCCESS) return error;
  *status = complete ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
  return ACL_SUCCESS;
}

aclError aclrtQueryEventWaitStatus(aclrtEvent event, aclrtEventWaitStatus* status) {
  REQUIRE_NOT_NULL(event);
  REQUIRE_NOT_NULL(status);
  bool ended = false;
  if (const aclError error = rt::QueryEventWaits(event, &ended); error != ACL_SUCCESS) return error;
  *status = ended ? ACL_EVENT_WAIT_STATUS_COMPLETE : ACL_EVENT_WAIT_STATUS_NOT_READY;
  return ACL_SUCCESS;
}

aclError aclrtEventElapsedTime(float* ms, aclrtEvent startEvent, aclrtEvent endEvent) {
  REQUIRE_NOT_NULL(ms);
  REQUIRE_NOT_NULL(startEvent);
  REQUIRE_NOT_NULL(endEvent);
  return rt::EventElapsedTime(startEvent, endEvent, ms);
}

aclError aclrtEventGetTimestamp(aclrtEvent event, uint64_t* timestamp) {
  REQUIRE_NOT_NULL(event);
  REQUIRE_NOT_NULL(timestamp);
  return rt::EventTimestamp(event, timestamp);
}

aclError aclrtGetEventId(aclrtEvent event, uint32_t* eventId) {
  REQUIRE_NOT_NULL(event);
  REQUIRE_NOT_NULL(eventId);
  return rt::EventId(event, eventId);
}
