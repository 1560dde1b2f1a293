// The freestanding stand-ins for what libstdc++ would give.
#include <gtest/gtest.h>
#include <string.h>

#include <string>
#include <thread>
#include <vector>

#include "runtime/src/deadline.h"
#include "runtime/src/futex.h"
#include "runtime/src/list.h"
#include "runtime/src/text.h"

namespace npu_ipc::runtime {
namespace {

TEST(TextTest, PutsPiecesTogether) {
  Text text("a ");
  text.Append(int64_t{-12}).Append(" b ").AppendUnsigned(UINT64_MAX).Append(int64_t{0});
  EXPECT_STREQ(text.c_str(), "a -12 b 184467440737095516150");
  EXPECT_STREQ(Text().Append(INT64_MIN).c_str(), "-9223372036854775808");
}

TEST(TextTest, CutsWhatDoesNotFit) {
  const std::string piece(300, 'x');
  Text text;
  text.Append(piece.c_str()).Append(piece.c_str());
  EXPECT_EQ(text.length(), Text::kCapacity - 1);
  EXPECT_EQ(strlen(text.c_str()), Text::kCapacity - 1);
}

TEST(TextTest, CopiesAndFillsWithNuls) {
  char to[6];
  memset(to, 'z', sizeof(to));
  CopyText(to, sizeof(to), "abc");
  EXPECT_EQ(memcmp(to, "abc\0\0\0", 6), 0);
  CopyText(to, sizeof(to), "abcdefgh");
  EXPECT_STREQ(to, "abcde");
  CopyText(to, 0, "q");
  EXPECT_STREQ(to, "abcde");
}

TEST(TextTest, KnowsAnEndWithinTheArray) {
  char text[3] = {'a', 'b', 'c'};
  EXPECT_FALSE(Terminated(text));
  text[2] = '\0';
  EXPECT_TRUE(Terminated(text));
}

struct Item : ListLink<Item> {};

TEST(ListTest, KeepsOrderAndUnlinks) {
  List<Item> list;
  Item a, b, c;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.PopFront(), nullptr);
  for (Item* item : {&a, &b, &c}) list.PushBack(item);
  list.Remove(&b);
  list.Remove(&b);
  EXPECT_FALSE(b.linked());
  EXPECT_EQ(list.Next(&a), &c);
  EXPECT_EQ(list.Next(&c), nullptr);
  EXPECT_EQ(list.PopFront(), &a);
  EXPECT_EQ(list.PopFront(), &c);
  EXPECT_TRUE(list.empty());
}

TEST(DeadlineTest, ForeverNeverPasses) {
  EXPECT_TRUE(Deadline::After(UINT32_MAX).never());
  EXPECT_FALSE(Deadline::Never().Passed());
  EXPECT_EQ(Deadline::Never().RemainingNanoseconds(), UINT64_MAX);
  EXPECT_FALSE(Deadline::Never().AtMost(1).never());
  EXPECT_TRUE(Deadline::After(0).Passed());
  EXPECT_TRUE(Deadline::After(0).AtMost(60000).Passed());
  EXPECT_EQ(Deadline::From(5, 2).at(), 2000005u);
}

TEST(MutexTest, LetsOneInAtATime) {
  Mutex mutex;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 20000; ++j) {
        MutexLock lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 80000);
}

TEST(ChangeCountTest, WakesWhoeverWaits) {
  ChangeCount changes;
  Mutex mutex;
  bool ready = false;
  std::thread waiter([&] {
    for (;;) {
      mutex.Lock();
      const bool done = ready;
      const uint32_t seen = changes.Current();
      mutex.Unlock();
      if (done) return;
      changes.WaitWhile(seen, Deadline::Never());
    }
  });
  {
    MutexLock lock(mutex);
    ready = true;
  }
  changes.Announce();
  waiter.join();
  changes.WaitWhile(changes.Current(), Deadline::After(1));  // ends by itself
}

}  // namespace
}  // namespace npu_ipc::runtime
