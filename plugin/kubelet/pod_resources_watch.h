// The thread that asks the kubelet who holds which device.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "hal/base/clock.h"
#include "plugin/kubelet/allocation_tracker.h"
#include "plugin/kubelet/pod_resources.h"

namespace npu_ipc::kubelet {

struct PodResourcesSettings {
  std::string socket = "/var/lib/kubelet/pod-resources/kubelet.sock";
  Duration interval = std::chrono::seconds(30);  // while nothing is expected to change
  // While something was allocated to a container unknown, or has fallen out of the list. Nothing
  // makes it ask more often than this.
  Duration unsettled_interval = std::chrono::seconds(2);
  Duration timeout = std::chrono::seconds(10);
};

// Keeps a tracker told from Start() on until it is destroyed, which ends a call under way at once.
// A kubelet that does not answer is asked again after unsettled_interval, then twice that, up to
// interval.
class PodResourcesWatch {
 public:
  PodResourcesWatch(const PodResourcesSettings& settings,
                    std::shared_ptr<AllocationTracker> tracker, const Clock& clock = SystemClock());
  ~PodResourcesWatch();
  PodResourcesWatch(const PodResourcesWatch&) = delete;
  PodResourcesWatch& operator=(const PodResourcesWatch&) = delete;

  // Asks at once, on a thread of its own. Once; not on several threads.
  void Start();

  // Something was allocated: does not wait for the interval's end. Any thread; returns at once;
  // also before Start().
  void AskSoon();

  // Instead of settings.interval, from the next answer on. Any thread; returns at once.
  void SetInterval(Duration interval);

 private:
  void Run();
  bool Stopping();
  // Waits for `delay`, or, once `at_least` has passed, until somebody asks. False: stopping.
  bool Wait(Duration delay, Duration at_least);

  Duration Interval();

  const PodResourcesSettings settings_;
  const std::shared_ptr<AllocationTracker> tracker_;
  const Clock& clock_;
  PodResourcesClient client_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;     // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  Duration interval_;      // guarded by mutex_
  std::thread thread_;
};

}  // namespace npu_ipc::kubelet
