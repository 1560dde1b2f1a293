// The time in which nothing new is granted.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class HoldTest : public ShareRegistryTest {
 protected:
  HoldTest() : ShareRegistryTest({.pending_requests = 2}) { registry_.HoldNew(true); }
};

TEST_F(HoldTest, WhatIsNewWaits) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  Attach(importer, "rank-0");
  registry_.Publish(exporter, kGroup, PublishRequest("rank-0", 0, "key"));
  EXPECT_TRUE(NothingSent(exporter));
  registry_.HoldNew(false);
  Take<wire::Published>(exporter, MessageType::kPublished);
  Answer(exporter, Take<wire::Admit>(exporter, MessageType::kAdmit));
  Take<wire::Grant>(importer, MessageType::kGrant);
}

TEST_F(HoldTest, AndIsRefusedInTheEndWithTheReason) {
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  registry_.Publish(exporter, kGroup, PublishRequest("rank-0", 0, "key"));
  Attach(importer, "rank-0", 0, 1000);
  Advance(seconds(1));
  EXPECT_THAT(TakeRefused(importer).reason, HasSubstr("API server"));
  EXPECT_TRUE(NothingSent(exporter));
  Advance(seconds(2));
  const wire::Refused refused = TakeRefused(exporter);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_THAT(refused.reason, HasSubstr("API server"));
  registry_.HoldNew(false);
  EXPECT_EQ(registry_.regions(), 0U);
}

TEST_F(HoldTest, AnAttachToARegionThatIsThereWaits) {
  registry_.HoldNew(false);
  const ClientId exporter = AddProcess(10);
  const ClientId importer = AddProcess(20);
  Publish(exporter, "rank-0");
  registry_.HoldNew(true);
  Attach(importer, "rank-0");
  EXPECT_TRUE(NothingSent(exporter));
  registry_.HoldNew(false);
  Take<wire::Admit>(exporter, MessageType::kAdmit);
}

TEST_F(HoldTest, ThoseThatWaitAreLimitedAndGoWithTheirProcess) {
  const ClientId exporter = AddProcess(10);
  for (int i = 0; i < 3; ++i) {
    registry_.Publish(exporter, kGroup, PublishRequest("r" + std::to_string(i), 0, "key"));
  }
  EXPECT_EQ(TakeRefused(exporter).status, Status::kLimit);
  registry_.Remove(exporter);
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
  registry_.HoldNew(false);
  EXPECT_EQ(registry_.regions(), 0U);
}

}  // namespace
}  // namespace npu_ipc::broker
