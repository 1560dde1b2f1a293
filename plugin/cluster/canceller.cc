#include "plugin/cluster/canceller.h"

#include <utility>

namespace npu_ipc::cluster {

void Canceller::Cancel() {
  const std::lock_guard lock(mutex_);
  if (cancelled_.exchange(true, std::memory_order_acq_rel)) return;
  changed_.notify_all();
  for (const auto& [id, listener] : listeners_) listener();
}

void Canceller::WaitFor(Duration duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, duration, [this] { return cancelled(); });
}

Canceller::ListenerId Canceller::AddListener(std::function<void()> listener) {
  const std::lock_guard lock(mutex_);
  listeners_.emplace(next_id_, std::move(listener));
  return next_id_++;
}

void Canceller::RemoveListener(ListenerId id) {
  const std::lock_guard lock(mutex_);
  listeners_.erase(id);
}

void Pause(Canceller& canceller, Duration duration) { canceller.WaitFor(duration); }

}  // namespace npu_ipc::cluster
