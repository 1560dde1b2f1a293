#include "plugin/cluster/backoff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace npu_ipc::cluster {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

constexpr BackoffOptions kOptions{.initial = seconds(2), .longest = seconds(10)};

std::vector<Duration> Take(Backoff& backoff, int count) {
  std::vector<Duration> delays;
  for (int i = 0; i < count; ++i) delays.push_back(backoff.Next());
  return delays;
}

TEST(Backoff, DoublesUpToTheLongest) {
  Backoff backoff(kOptions, [] { return 0.0; });
  EXPECT_THAT(Take(backoff, 5),
              ElementsAre(seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)));
}

TEST(Backoff, AddsARandomPartOfTheOtherHalf) {
  Backoff backoff(kOptions, [] { return 0.5; });
  EXPECT_EQ(backoff.Next(), std::chrono::milliseconds(1500));
  EXPECT_EQ(backoff.Next(), std::chrono::milliseconds(3000));
}

TEST(Backoff, StartsAnew) {
  Backoff backoff(kOptions, [] { return 0.0; });
  Take(backoff, 4);
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), seconds(1));
}

TEST(Backoff, DiffersFromOneNodeToTheNext) {
  EXPECT_NE(Random(), Random());
  for (int i = 0; i < 1000; ++i) {
    const double number = Random();
    EXPECT_GE(number, 0.0);
    EXPECT_LT(number, 1.0);
  }
}

}  // namespace
}  // namespace npu_ipc::cluster
