#include "hal/sim/libdcmi/fault_events.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "hal/base/unix_socket.h"
#include "hal/sim/driver/client.h"
#include "hal/sim/driver/protocol.h"
#include "hal/sim/libdcmi/node_view.h"

namespace npu_ipc::sim {
namespace {

constexpr auto kRetryInterval = std::chrono::milliseconds(20);  // the vendor's, after an error

struct Subscription {
  int logical_id;
  dcmi_event_filter filter;
  dcmi_fault_event_callback handler;
};

// Which process subscribes; a forked child's pid is another.
std::atomic<pid_t> subscriber{0};

// A connection over which fault messages come from now on.
int Subscribe(UniqueFd* events) {
  Result<std::string> path = DriverSocketPath();
  if (!path.ok()) return DCMI_ERR_CODE_INNER_ERR;
  Result<UniqueFd> driver = ConnectUnix(*path);
  if (!driver.ok()) return DCMI_ERR_CODE_NOT_REDAY;
  Request request = {};
  request.version = kProtocolVersion;
  request.operation = Operation::kSubscribeFaults;
  request.through_dcmi = 1;
  Reply reply = {};
  if (!SendMessage(driver->get(), &request, sizeof(request)).ok()) return DCMI_ERR_CODE_NOT_REDAY;
  const Result<ReceivedMessage> answer = ReceiveMessage(driver->get(), &reply, sizeof(reply));
  if (!answer.ok() || answer->bytes != sizeof(reply)) return DCMI_ERR_CODE_NOT_REDAY;
  if (int code = CodeOfReply(reply); code != DCMI_OK) return code;
  *events = std::move(*driver);
  return DCMI_OK;
}

bool Passes(const Subscription& subscription, const FaultMessage& message) {
  const dcmi_event_filter& filter = subscription.filter;
  if (subscription.logical_id != -1 &&
      static_cast<uint32_t>(subscription.logical_id) != message.logical_id) {
    return false;
  }
  if ((filter.filter_flag & DCMI_EVENT_FILTER_FLAG_EVENT_ID) != 0 &&
      filter.event_id != message.code) {
    return false;
  }
  if ((filter.filter_flag & DCMI_EVENT_FILTER_FLAG_SERVERITY) != 0 &&
      message.severity < filter.severity) {
    return false;
  }
  return (filter.filter_flag & DCMI_EVENT_FILTER_FLAG_NODE_TYPE) == 0 ||
         filter.node_type == message.node_type;
}

void Deliver(const Subscription& subscription, const FaultMessage& message) {
  dcmi_event event = {};
  event.type = DCMI_DMS_FAULT_EVENT;
  dcmi_dms_fault_event& fault = event.event_t.dms_event;
  fault.event_id = message.code;
  fault.deviceid = static_cast<unsigned short>(message.logical_id);
  fault.node_type = static_cast<unsigned char>(message.node_type);
  fault.node_type_ex = static_cast<unsigned short>(message.node_type);
  fault.severity = static_cast<unsigned char>(message.severity);
  fault.assertion = static_cast<unsigned char>(message.assertion);
  fault.event_serial_num = message.serial_number;
  fault.notify_serial_num = message.message_serial_number;
  fault.alarm_raised_time = message.raised_at_ms;
  ::snprintf(fault.event_name, sizeof(fault.event_name), "deviceid=%u, %.*s", message.logical_id,
             static_cast<int>(strnlen(message.name, sizeof(message.name))), message.name);
  subscription.handler(&event);
}

// For as long as the process lives. A driver that was restarted is subscribed to again, and what
// happened meanwhile is lost.
[[noreturn]] void Listen(const Subscription& subscription, UniqueFd events) {
  for (;;) {
    FaultMessage message = {};
    const Result<ReceivedMessage> received =
        ReceiveMessage(events.get(), &message, sizeof(message));
    if (received.ok() && received->bytes == sizeof(message)) {
      if (Passes(subscription, message)) Deliver(subscription, message);
      continue;
    }
    events.Reset();
    while (Subscribe(&events) != DCMI_OK) std::this_thread::sleep_for(kRetryInterval);
  }
}

// Signals are the program's, none of its own threads' business here.
void StartListening(Subscription subscription, UniqueFd events) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([subscription, events = std::move(events)]() mutable {
    Listen(subscription, std::move(events));
  }).detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

int SubscribeFaultEvents(int logical_id, const dcmi_event_filter& filter,
                         dcmi_fault_event_callback handler) {
  const pid_t self = ::getpid();
  if (subscriber.exchange(self) == self) return DCMI_ERR_CODE_RESOURCE_OCCUPIED;
  UniqueFd events;
  if (int code = Subscribe(&events); code != DCMI_OK) {
    subscriber.store(0);
    return code;
  }
  StartListening({logical_id, filter, handler}, std::move(events));
  return DCMI_OK;
}

}  // namespace npu_ipc::sim
