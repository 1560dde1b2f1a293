// A DeviceStateSource whose state the test sets.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "plugin/device_view/device_state_source.h"

namespace npu_ipc::device_view {

class FakeSource final : public DeviceStateSource {
 public:
  void Set(NodeState state) {
    auto next = std::make_shared<const NodeState>(std::move(state));
    const std::lock_guard lock(listener_mutex_);
    {
      const std::lock_guard state_lock(mutex_);
      state_ = std::move(next);
    }
    if (listener_) listener_();
  }

  std::shared_ptr<const NodeState> Current() const override {
    const std::lock_guard lock(mutex_);
    return state_;
  }
  void SetListener(std::function<void()> changed) override {
    const std::lock_guard lock(listener_mutex_);
    listener_ = std::move(changed);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const NodeState> state_ = std::make_shared<const NodeState>();
  std::mutex listener_mutex_;
  std::function<void()> listener_;
};

}  // namespace npu_ipc::device_view
