#include "hal/dcmi/fault_subscription.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace npu_ipc::hal {
namespace {

using ::testing::HasSubstr;

dcmi_fault_event_callback subscribed = nullptr;

// As the vendor's thread may: the first event comes before the call returns.
int SubscribeWithAnEventAtOnce(int, int, dcmi_event_filter, dcmi_fault_event_callback handler) {
  subscribed = handler;
  dcmi_event event = {};
  handler(&event);
  return DCMI_OK;
}

int Refuse(int, int, dcmi_event_filter, dcmi_fault_event_callback) {
  return DCMI_ERR_CODE_RESOURCE_OCCUPIED;
}

// One program, one subscription: its whole life in one test.
TEST(FaultSubscriptionTest, RefusedThenTakenThenEnded) {
  std::atomic<int> heard = 0;
  const auto count = [&](const dcmi_dms_fault_event&) { ++heard; };

  auto refused = FaultSubscription::Open(&Refuse, count);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("-8020"));
  EXPECT_THAT(refused.status().message(), HasSubstr("64"));

  auto taken = FaultSubscription::Open(&SubscribeWithAnEventAtOnce, count);
  ASSERT_TRUE(taken.ok()) << taken.status().message();
  EXPECT_EQ(heard, 1) << "by the one that was taken, not by the one that was refused";

  auto second = FaultSubscription::Open(&Refuse, count);
  EXPECT_TRUE(second.ok()) << "the process has its subscription";

  dcmi_event unknown = {};
  unknown.type = DCMI_EVENT_TYPE_MAX;
  subscribed(&unknown);
  subscribed(nullptr);
  EXPECT_EQ(heard, 1);

  dcmi_event event = {};
  std::thread vendor([&] {
    for (int i = 0; i < 1000; ++i) subscribed(&event);
  });
  while (heard < 20) std::this_thread::yield();
  second->reset();
  taken->reset();
  const int at_the_end = heard;
  vendor.join();
  subscribed(&event);
  EXPECT_EQ(heard, at_the_end);
}

}  // namespace
}  // namespace npu_ipc::hal
