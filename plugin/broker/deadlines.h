// Things to do at a point in time, run by whoever owns the time.
#pragma once

#include <stdint.h>

#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "hal/base/clock.h"

namespace npu_ipc::broker {

// Not thread safe. Tasks may add and cancel deadlines.
class Deadlines {
 public:
  using Id = uint64_t;  // never 0
  using Task = std::function<void()>;

  Id Add(TimePoint when, Task task) {
    const Id id = next_id_++;
    tasks_.emplace(std::pair(when, id), std::move(task));
    times_.emplace(id, when);
    return id;
  }

  // An unknown or already run id (0 too) is ignored.
  void Cancel(Id id) {
    const auto found = times_.find(id);
    if (found == times_.end()) return;
    tasks_.erase(std::pair(found->second, id));
    times_.erase(found);
  }

  std::optional<TimePoint> Next() const {
    if (tasks_.empty()) return std::nullopt;
    return tasks_.begin()->first.first;
  }

  // Runs what is due at `now`, earliest first.
  void RunDue(TimePoint now) {
    while (!tasks_.empty() && tasks_.begin()->first.first <= now) {
      auto due = tasks_.extract(tasks_.begin());
      times_.erase(due.key().second);
      due.mapped()();
    }
  }

 private:
  Id next_id_ = 1;
  std::map<std::pair<TimePoint, Id>, Task> tasks_;
  std::unordered_map<Id, TimePoint> times_;
};

}  // namespace npu_ipc::broker
