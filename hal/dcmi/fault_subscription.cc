#include "hal/dcmi/fault_subscription.h"

#include <mutex>
#include <set>
#include <utility>

#include "hal/base/no_destructor.h"
#include "hal/dcmi/dcmi_status.h"

namespace npu_ipc::hal {
namespace {

struct Registry {
  std::mutex listening;  // held while handlers run: one event at a time
  std::set<const FaultSubscription*> listeners;

  std::mutex subscribing;  // held during the vendor's call, which may dispatch before it returns
  bool subscribed = false;
};

// Never destroyed: the vendor's thread runs until the process ends.
Registry& GetRegistry() {
  static NoDestructor<Registry> registry;
  return *registry;
}

}  // namespace

FaultSubscription::FaultSubscription(Handler handler) : handler_(std::move(handler)) {
  Registry& registry = GetRegistry();
  std::lock_guard<std::mutex> lock(registry.listening);
  registry.listeners.insert(this);
}

FaultSubscription::~FaultSubscription() {
  Registry& registry = GetRegistry();
  std::lock_guard<std::mutex> lock(registry.listening);
  registry.listeners.erase(this);
}

Result<std::unique_ptr<FaultSubscription>> FaultSubscription::Open(
    decltype(&::dcmi_subscribe_fault_event) subscribe, Handler handler) {
  std::unique_ptr<FaultSubscription> subscription(new FaultSubscription(std::move(handler)));
  Registry& registry = GetRegistry();
  std::lock_guard<std::mutex> lock(registry.subscribing);
  if (!registry.subscribed) {
    Status subscribed =
        DcmiStatus(subscribe(-1, -1, dcmi_event_filter{}, &Dispatch), "dcmi_subscribe_fault_event",
                   "all devices (DCMI takes 64 processes)");
    if (!subscribed.ok()) return subscribed;
    registry.subscribed = true;
  }
  return subscription;
}

void FaultSubscription::Dispatch(dcmi_event* event) {
  if (event == nullptr || event->type != DCMI_DMS_FAULT_EVENT) return;
  Registry& registry = GetRegistry();
  std::lock_guard<std::mutex> lock(registry.listening);
  for (const FaultSubscription* listener : registry.listeners) {
    listener->handler_(event->event_t.dms_event);
  }
}

}  // namespace npu_ipc::hal
