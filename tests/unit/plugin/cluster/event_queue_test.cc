#include "plugin/cluster/event_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace npu_ipc::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

Event Refused(const std::string& pod, const std::string& message = "no") {
  return {PodSubject("ns", pod, "uid-" + pod), EventType::kWarning, "ShareRefused", message};
}

class EventQueueTest : public testing::Test {
 protected:
  bool Add(const Event& event) { return queue_.Add(event, now_, wall_); }
  void Pass(Duration duration) {
    now_ += duration;
    wall_ += std::chrono::duration_cast<WallTime::duration>(duration);
  }
  // The count that is written now; 0 when nothing is due.
  uint64_t WriteNext() {
    const auto write = queue_.Take(now_);
    if (!write) return 0;
    queue_.Written(write->event, now_);
    return write->count;
  }

  TimePoint now_{seconds(1000)};
  WallTime wall_{seconds(1'700'000'000)};
  EventLimits limits_;
  EventQueue queue_{limits_, now_};
};

TEST_F(EventQueueTest, WritesANewEventAtOnce) {
  EXPECT_EQ(queue_.NextAt(), std::nullopt);
  ASSERT_TRUE(Add(Refused("a")));
  EXPECT_LE(*queue_.NextAt(), now_);
  const auto write = queue_.Take(now_);
  ASSERT_TRUE(write.has_value());
  EXPECT_EQ(write->event, Refused("a"));
  EXPECT_EQ(write->count, 1u);
  EXPECT_TRUE(write->create);
  EXPECT_EQ(write->first, wall_);
  EXPECT_TRUE(write->object_name.starts_with("a."));
  EXPECT_FALSE(queue_.Take(now_).has_value());
}

TEST_F(EventQueueTest, CountsWhatRepeats) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Add(Refused("a")));
  EXPECT_EQ(WriteNext(), 5u);
  ASSERT_TRUE(Add(Refused("a")));
  EXPECT_EQ(WriteNext(), 0u);
  EXPECT_EQ(*queue_.NextAt(), now_ + limits_.repeat_after);
  Pass(limits_.repeat_after);
  ASSERT_TRUE(Add(Refused("a")));
  const auto write = queue_.Take(now_);
  ASSERT_TRUE(write.has_value());
  EXPECT_EQ(write->count, 7u);
  EXPECT_FALSE(write->create);
  EXPECT_EQ(write->first, wall_ - limits_.repeat_after);
  EXPECT_EQ(write->last, wall_);
}

TEST_F(EventQueueTest, CountsWhatComesWhileItIsWritten) {
  ASSERT_TRUE(Add(Refused("a")));
  const auto write = queue_.Take(now_);
  ASSERT_TRUE(Add(Refused("a")));
  queue_.Written(write->event, now_);
  EXPECT_EQ(WriteNext(), 0u);
  Pass(limits_.repeat_after);
  EXPECT_EQ(WriteNext(), 2u);
}

TEST_F(EventQueueTest, TellsEventsApart) {
  ASSERT_TRUE(Add(Refused("a")));
  ASSERT_TRUE(Add(Refused("b")));
  ASSERT_TRUE(Add(Refused("a", "another reason")));
  std::set<std::string> names;
  while (const auto write = queue_.Take(now_)) {
    EXPECT_EQ(write->count, 1u);
    names.insert(write->object_name);
  }
  EXPECT_EQ(names.size(), 3u);
}

TEST_F(EventQueueTest, TriesAgainUnderTheSameName) {
  ASSERT_TRUE(Add(Refused("a")));
  const auto first = queue_.Take(now_);
  queue_.Retry(first->event, /*create=*/true, now_ + seconds(1));
  EXPECT_FALSE(queue_.Take(now_).has_value());
  Pass(seconds(1));
  const auto second = queue_.Take(now_);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->object_name, first->object_name);
  EXPECT_TRUE(second->create);
}

TEST_F(EventQueueTest, StartsAnewWhenTheOldOneIsLongForgotten) {
  ASSERT_TRUE(Add(Refused("a")));
  EXPECT_EQ(WriteNext(), 1u);
  Pass(limits_.forget_after);
  ASSERT_TRUE(Add(Refused("a")));
  const auto write = queue_.Take(now_);
  ASSERT_TRUE(write.has_value());
  EXPECT_EQ(write->count, 1u);
  EXPECT_TRUE(write->create);
  EXPECT_EQ(write->first, wall_);
}

TEST_F(EventQueueTest, BoundsWhatOneSubjectCanSay) {
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(Add(Refused("a", std::to_string(i)))) << i;
  EXPECT_FALSE(Add(Refused("a", "one more")));
  EXPECT_TRUE(Add(Refused("a", "0"))) << "a series goes on";
  EXPECT_TRUE(Add(Refused("b"))) << "others are not concerned";
  Pass(limits_.subject_refill);
  EXPECT_TRUE(Add(Refused("a", "one more")));
  EXPECT_FALSE(Add(Refused("a", "and another")));
}

TEST_F(EventQueueTest, BoundsHowFastItIsWritten) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Add(Refused("pod-" + std::to_string(i))));
  int written = 0;
  while (WriteNext() > 0) ++written;
  EXPECT_EQ(written, 25);
  const TimePoint next = *queue_.NextAt();
  EXPECT_GT(next, now_);
  EXPECT_LE(next, now_ + limits_.write_refill + milliseconds(1));
  Pass(next - now_);
  EXPECT_EQ(WriteNext(), 1u);
  EXPECT_EQ(WriteNext(), 0u);
}

TEST_F(EventQueueTest, BoundsWhatWaits) {
  EventLimits limits;
  limits.waiting = 3;
  EventQueue queue(limits, now_);
  for (const char* pod : {"a", "b", "c"}) ASSERT_TRUE(queue.Add(Refused(pod), now_, wall_));
  EXPECT_FALSE(queue.Add(Refused("d"), now_, wall_));
  EXPECT_TRUE(queue.Add(Refused("a"), now_, wall_)) << "it waits already";
  queue.Forget(queue.Take(now_)->event);
  EXPECT_TRUE(queue.Add(Refused("d"), now_, wall_));
}

TEST_F(EventQueueTest, CountsWhatIsBeingWrittenAmongWhatWaits) {
  EventLimits limits;
  limits.waiting = 2;
  EventQueue queue(limits, now_);
  ASSERT_TRUE(queue.Add(Refused("a"), now_, wall_));
  const auto write = queue.Take(now_);
  EXPECT_EQ(queue.waiting(), 1u);
  ASSERT_TRUE(queue.Add(Refused("b"), now_, wall_));
  EXPECT_FALSE(queue.Add(Refused("c"), now_, wall_));
  EXPECT_TRUE(queue.Add(Refused("a"), now_, wall_)) << "it counts already";
  EXPECT_EQ(queue.waiting(), 2u);
  queue.Retry(write->event, /*create=*/true, now_);
  EXPECT_EQ(queue.waiting(), 2u);
  queue.Written(queue.Take(now_)->event, now_);
  EXPECT_EQ(queue.waiting(), 1u);
  EXPECT_TRUE(queue.Add(Refused("c"), now_, wall_));
}

TEST_F(EventQueueTest, RemembersWhatIsBeingWritten) {
  EventLimits limits;
  limits.series = 1;
  EventQueue queue(limits, now_);
  ASSERT_TRUE(queue.Add(Refused("a"), now_, wall_));
  const auto write = queue.Take(now_);
  now_ += limits.subject_refill;
  EXPECT_FALSE(queue.Add(Refused("b"), now_, wall_)) << "there is no room but that series'";
  queue.Written(write->event, now_);
  EXPECT_TRUE(queue.Add(Refused("b"), now_, wall_));
}

TEST_F(EventQueueTest, ForgetsTheLongestQuietSeriesFirst) {
  EventLimits limits;
  limits.series = 3;
  EventQueue queue(limits, now_);
  for (const char* pod : {"a", "b", "c"}) {
    ASSERT_TRUE(queue.Add(Refused(pod), now_, wall_));
    queue.Written(queue.Take(now_)->event, now_);
  }
  ASSERT_TRUE(queue.Add(Refused("a"), now_, wall_));
  // All their subjects are quiet by then.
  now_ += minutes(1);
  ASSERT_TRUE(queue.Add(Refused("d"), now_, wall_));
  ASSERT_TRUE(queue.Add(Refused("c"), now_, wall_));
  std::map<std::string, uint64_t> counts;
  while (const auto write = queue.Take(now_ + limits.repeat_after)) {
    counts[write->event.subject.name] = write->count;
  }
  EXPECT_EQ(counts, (std::map<std::string, uint64_t>{{"a", 2}, {"c", 2}, {"d", 1}}));
}

TEST_F(EventQueueTest, StaysBoundedUnderAFlood) {
  EventLimits limits;
  limits.series = 50;
  limits.waiting = 20;
  EventQueue queue(limits, now_);
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    if (!queue.Add(Refused("pod-" + std::to_string(i)), now_, wall_)) ++refused;
    ASSERT_LE(queue.waiting(), 20u);
    if (i % 3 == 0) {
      if (const auto write = queue.Take(now_)) queue.Written(write->event, now_);
    }
    now_ += milliseconds(10);
  }
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 2000);
}

TEST(TokenBucketTest, RefillsOverTime) {
  TimePoint now{seconds(5)};
  TokenBucket bucket(2, seconds(10), now);
  EXPECT_TRUE(bucket.Full(now));
  EXPECT_TRUE(bucket.Take(now));
  EXPECT_TRUE(bucket.Take(now));
  EXPECT_FALSE(bucket.Take(now));
  EXPECT_GT(bucket.NextAt(), now + seconds(9));
  now = bucket.NextAt();
  EXPECT_TRUE(bucket.Take(now));
  EXPECT_FALSE(bucket.Take(now));
  now += seconds(100);
  EXPECT_TRUE(bucket.Full(now));
}

}  // namespace
}  // namespace npu_ipc::cluster
