#include "hal/sim/driver/peer_access.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {
namespace {

using Change = std::tuple<uint32_t, uint32_t, bool>;

class PeerAccessTest : public ::testing::Test {
 protected:
  PeerAccessTest() {
    peers_.OnChange([this](uint32_t a, uint32_t b, bool on) { changes_.emplace_back(a, b, on); });
  }

  PeerAccess peers_{18, [](uint32_t a, uint32_t b) { return a + b != 9; }};
  std::vector<Change> changes_;
};

TEST_F(PeerAccessTest, ALinkIsConfiguredOnceBothDirectionsAreRequestedByWhomever) {
  ASSERT_TRUE(peers_.Enable(10, 3, 5).ok());
  EXPECT_FALSE(peers_.IsConfigured(3, 5));
  ASSERT_TRUE(peers_.Enable(20, 5, 3).ok());
  EXPECT_TRUE(peers_.IsConfigured(3, 5));
  EXPECT_TRUE(peers_.IsConfigured(5, 3));
  EXPECT_FALSE(peers_.IsConfigured(3, 4));
  EXPECT_THAT(changes_, ::testing::ElementsAre(Change(3, 5, true)));
}

TEST_F(PeerAccessTest, RequestsAreCountedAProcess) {
  ASSERT_TRUE(peers_.Enable(20, 5, 3).ok());
  ASSERT_TRUE(peers_.Enable(10, 3, 5).ok());
  ASSERT_TRUE(peers_.Enable(10, 3, 5).ok());
  EXPECT_TRUE(peers_.Disable(10, 3, 5).ok());
  EXPECT_TRUE(peers_.IsConfigured(3, 5));
  EXPECT_TRUE(peers_.Disable(10, 3, 5).ok());
  EXPECT_FALSE(peers_.IsConfigured(3, 5));
  EXPECT_EQ(peers_.Disable(10, 3, 5).error, ESRCH);
  EXPECT_EQ(peers_.Disable(20, 3, 5).error, ESRCH) << "its request is for the other direction";
  EXPECT_THAT(changes_, ::testing::ElementsAre(Change(3, 5, true), Change(3, 5, false)));
}

TEST_F(PeerAccessTest, ALinkStaysWhileAnotherProcessWantsTheDirection) {
  ASSERT_TRUE(peers_.Enable(20, 5, 3).ok());
  ASSERT_TRUE(peers_.Enable(10, 3, 5).ok());
  ASSERT_TRUE(peers_.Enable(11, 3, 5).ok());
  peers_.Release(10);
  EXPECT_TRUE(peers_.IsConfigured(3, 5));
  peers_.Release(11);
  EXPECT_FALSE(peers_.IsConfigured(3, 5));
  peers_.Release(11);
  EXPECT_THAT(changes_, ::testing::ElementsAre(Change(3, 5, true), Change(3, 5, false)));
}

TEST_F(PeerAccessTest, ADirectionTakesThirtyTwoProcesses) {
  for (pid_t pid = 1; pid <= static_cast<pid_t>(kMaxPeerProcesses); ++pid) {
    ASSERT_TRUE(peers_.Enable(pid, 0, 1).ok());
  }
  EXPECT_EQ(peers_.Enable(100, 0, 1).error, ENOMEM);
  EXPECT_TRUE(peers_.Enable(7, 0, 1).ok()) << "a process that has the direction may count on";
  EXPECT_TRUE(peers_.Enable(100, 1, 0).ok()) << "the other direction has its own room";
  peers_.Release(32);
  EXPECT_TRUE(peers_.Enable(100, 0, 1).ok());
}

TEST_F(PeerAccessTest, DevicesWithoutALinkAreRefused) {
  EXPECT_EQ(peers_.Enable(10, 4, 5).error, EINVAL);
  EXPECT_EQ(peers_.Enable(10, 5, 4).error, EINVAL);
  EXPECT_EQ(peers_.Disable(10, 4, 5).error, EINVAL);
  EXPECT_FALSE(peers_.IsConfigured(4, 5));
  EXPECT_TRUE(peers_.Enable(10, 4, 6).ok());
}

TEST_F(PeerAccessTest, DevicesAboveFifteenUnknownOnesAndOneselfAreRefused) {
  EXPECT_EQ(peers_.Enable(10, 2, 2).error, EINVAL);
  EXPECT_EQ(peers_.Enable(10, 16, 2).error, EINVAL);
  EXPECT_EQ(peers_.Enable(10, 2, 17).error, EINVAL);
  EXPECT_EQ(peers_.Enable(10, 2, 18).error, EINVAL);
  EXPECT_EQ(peers_.Enable(10, UINT32_MAX, 2).error, EINVAL);
  EXPECT_EQ(peers_.Disable(10, 2, 2).error, EINVAL);
  EXPECT_TRUE(peers_.Enable(10, 15, 0).ok());
}

}  // namespace
}  // namespace npu_ipc::sim
