#include "hal/base/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace npu_ipc {
namespace {

using namespace std::chrono_literals;

class EventLoopTest : public testing::Test {
 protected:
  std::unique_ptr<EventLoop> loop_ = std::move(EventLoop::Create()).value();
};

TEST_F(EventLoopTest, RunsTimersInOrderAndNotTheCancelledOne) {
  std::vector<int> order;
  loop_->RunAfter(3ms, [&] {
    order.push_back(3);
    loop_->Stop();
  });
  loop_->RunAfter(1ms, [&] { order.push_back(1); });
  const auto cancelled = loop_->RunAfter(2ms, [&] { order.push_back(2); });
  loop_->Cancel(cancelled);
  loop_->Run();
  EXPECT_EQ(order, (std::vector<int>{1, 3}));
}

TEST_F(EventLoopTest, DropsAFetchedEventOfADescriptorUnwatchedMeanwhile) {
  const UniqueFd a(::eventfd(1, EFD_CLOEXEC)), b(::eventfd(1, EFD_CLOEXEC));
  EventLoop::WatchId watch_a = 0, watch_b = 0;
  int calls = 0;
  // Both are ready in one epoll_wait: whichever runs first unwatches both.
  const auto callback = [&](uint32_t) {
    ++calls;
    loop_->Unwatch(watch_a);
    loop_->Unwatch(watch_b);
    loop_->Stop();
  };
  watch_a = *loop_->Watch(a.get(), EPOLLIN, callback);
  watch_b = *loop_->Watch(b.get(), EPOLLIN, callback);
  loop_->Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, RunsWhatOtherThreadsPost) {
  std::vector<int> got;
  std::thread poster([this, &got] {
    for (int i = 0; i < 100; ++i) loop_->Post([&got, i] { got.push_back(i); });
    loop_->Stop();
  });
  loop_->Run();
  poster.join();
  ASSERT_EQ(got.size(), 100U);
  EXPECT_EQ(got.front(), 0);
  EXPECT_EQ(got.back(), 99);
}

}  // namespace
}  // namespace npu_ipc
