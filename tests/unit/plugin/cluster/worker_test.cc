#include "plugin/cluster/worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>

namespace npu_ipc::cluster {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDeadline{30};

TEST(Worker, TakesTheFirstStepAtOnceAndThenWaitsToBeWoken) {
  std::counting_semaphore<> steps(0);
  Worker worker([&](Canceller&) {
    steps.release();
    return std::nullopt;
  });
  ASSERT_TRUE(steps.try_acquire_for(kDeadline));
  EXPECT_FALSE(steps.try_acquire_for(milliseconds(20)));
  worker.Wake();
  EXPECT_TRUE(steps.try_acquire_for(kDeadline));
}

TEST(Worker, TakesTheNextStepWhenItIsTime) {
  std::counting_semaphore<> steps(0);
  const TimePoint start = SystemClock().Now();
  Worker worker([&](Canceller&) {
    steps.release();
    return start + milliseconds(20);
  });
  ASSERT_TRUE(steps.try_acquire_for(kDeadline));
  ASSERT_TRUE(steps.try_acquire_for(kDeadline));
  EXPECT_GE(SystemClock().Now(), start + milliseconds(20));
}

TEST(Worker, ForgetsNoWakeThatComesDuringAStep) {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> go_on(0);
  Worker worker([&](Canceller&) {
    begun.release();
    EXPECT_TRUE(go_on.try_acquire_for(kDeadline));
    return SystemClock().Now() + hours(1);
  });
  ASSERT_TRUE(begun.try_acquire_for(kDeadline));
  worker.Wake();
  worker.Wake();
  go_on.release();
  ASSERT_TRUE(begun.try_acquire_for(kDeadline));
  go_on.release();
  EXPECT_FALSE(begun.try_acquire_for(milliseconds(20))) << "two wakes are one step";
}

TEST(Worker, CancelsTheStepUnderWayWhenItIsDestroyed) {
  std::counting_semaphore<> begun(0);
  std::atomic<bool> cancelled = false;
  {
    Worker worker([&](Canceller& canceller) {
      begun.release();
      canceller.WaitFor(hours(1));
      cancelled = canceller.cancelled();
      return SystemClock().Now();
    });
    ASSERT_TRUE(begun.try_acquire_for(kDeadline));
  }
  EXPECT_TRUE(cancelled);
  EXPECT_FALSE(begun.try_acquire()) << "a step after the last";
}

}  // namespace
}  // namespace npu_ipc::cluster
