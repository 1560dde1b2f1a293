#include "hal/base/clock.h"

#include "hal/base/no_destructor.h"

namespace npu_ipc {
namespace {

class MonotonicClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace

const Clock& SystemClock() {
  static const NoDestructor<MonotonicClock> clock;
  return *clock;
}

}  // namespace npu_ipc
