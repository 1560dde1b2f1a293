// Follows the device plugin's view of the node: connects, watches, and starts again when the device
// plugin has been away.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "hal/base/clock.h"
#include "plugin/device_view/node_state.h"

namespace grpc {
class ClientContext;
}

namespace npu_ipc::device_view {

struct ClientSettings {
  std::string socket;
  // How long to wait after a failure, doubled from the one to the other. The two daemons are of one
  // pod, so there is no crowd to keep apart.
  Duration first_retry = std::chrono::milliseconds(100);
  Duration last_retry = std::chrono::seconds(5);
};

// What is known of the node at one moment.
struct View {
  std::shared_ptr<const NodeState> state;  // the last that came; null before the first
  std::optional<TimePoint> received;       // when it came
  bool connected = false;                  // and what changes will come
  std::string problem;                     // why not

  // How old the state is; empty where there is none.
  std::optional<Duration> Age(TimePoint now) const;
};

// One thread of its own, which waits for the device plugin and nobody else. Safe for concurrent
// use.
class DeviceViewClient {
 public:
  // Called on the client's thread with each view that is another one than before; must not block.
  using Sink = std::function<void(const View&)>;

  // `clock` must outlive the client.
  DeviceViewClient(const ClientSettings& settings, Sink sink, const Clock& clock = SystemClock());
  // The sink is not called any more when it returns.
  ~DeviceViewClient();
  DeviceViewClient(const DeviceViewClient&) = delete;
  DeviceViewClient& operator=(const DeviceViewClient&) = delete;

  View Current() const;

 private:
  void Run();
  // Watches until the stream ends; why it did.
  std::string Watch(Duration* retry_delay);
  void OnState(std::shared_ptr<const NodeState> state);
  void OnDisconnected(const std::string& problem);
  // Makes `context` the call that the destructor cancels; false when it has begun.
  bool BeginCall(grpc::ClientContext* context);
  void EndCall();

  const ClientSettings settings_;
  const Sink sink_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable stopping_changed_;
  bool stopping_ = false;                // guarded by mutex_
  grpc::ClientContext* call_ = nullptr;  // guarded by mutex_
  View view_;                            // guarded by mutex_; written by the thread alone
  std::thread thread_;                   // last: it uses what is above
};

}  // namespace npu_ipc::device_view
