// The process' one subscription to DCMI's fault events, shared by those who listen.
#pragma once

#include <functional>
#include <memory>

#include "hal/base/result.h"
#include "hal/dcmi/dcmi_table.h"

namespace npu_ipc::hal {

// DCMI takes one subscription a process, for good, and hands its callback no context (driver:
// dsmi_fault.c). So this process subscribes once, to all devices, and every FaultSubscription hears
// what comes.
class FaultSubscription {
 public:
  using Handler = std::function<void(const dcmi_dms_fault_event&)>;

  // Subscribes this process where it is not yet. `handler` may be called before Open returns; it
  // must not block, nor open or destroy a FaultSubscription. Errors are DCMI's, tried again at the
  // next Open.
  static Result<std::unique_ptr<FaultSubscription>> Open(
      decltype(&::dcmi_subscribe_fault_event) subscribe, Handler handler);

  // Waits for a call of the handler that is under way; there is none afterwards.
  ~FaultSubscription();
  FaultSubscription(const FaultSubscription&) = delete;
  FaultSubscription& operator=(const FaultSubscription&) = delete;

 private:
  explicit FaultSubscription(Handler handler);
  static void Dispatch(dcmi_event* event);

  const Handler handler_;
};

}  // namespace npu_ipc::hal
