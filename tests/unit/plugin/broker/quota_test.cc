// What a pod's processes may use together, and whose turn it is.
#include "gmock/gmock.h"
#include "plugin/broker/lanes.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class PodLimitsTest : public ShareRegistryTest {
 protected:
  PodLimitsTest() : ShareRegistryTest(Small()) {}
  static ShareLimits Small() {
    ShareLimits limits;
    limits.pod = {2, 2, 2, 2};
    return limits;
  }
  ClientId AddProcessOf(const std::string& pod, pid_t pid) {
    ClientInfo info;
    info.process = {pid, 1};
    info.pod_namespace = "team";
    info.pod_name = pod;
    info.pod_cgroup_uid = info.pod_uid = "uid-" + pod;
    return registry_.AddClient(info);
  }
  void ExpectLimit(ClientId client, const std::string& setting) {
    const wire::Refused refused = TakeRefused(client);
    EXPECT_EQ(refused.status, Status::kLimit);
    EXPECT_THAT(std::string(Text(refused.reason)), HasSubstr(setting));
  }

  const ClientId first_ = AddProcessOf("a", 100);
  const ClientId second_ = AddProcessOf("a", 101);
  const ClientId other_ = AddProcessOf("b", 200);
};

TEST_F(PodLimitsTest, RegionsAreCountedForThePod) {
  const auto region = Publish(first_, "r1");
  Publish(second_, "r2");
  registry_.Publish(second_, kGroup, PublishRequest("r3", 0, "key"));
  ExpectLimit(second_, "pod.maxRegions");
  Publish(other_, "r4");
  Withdraw(first_, region.region_id, 0);
  Take<wire::Withdrawn>(first_, MessageType::kWithdrawn);
  Publish(second_, "r3");
  // Its processes' ends give back what they had.
  registry_.Remove(second_);
  const ClientId third = AddProcessOf("a", 102);
  Publish(third, "r5");
  Publish(first_, "r6");
  registry_.Publish(first_, kGroup, PublishRequest("r7", 0, "key"));
  ExpectLimit(first_, "pod.maxRegions");
}

TEST_F(PodLimitsTest, WaitingAttachesAreCountedForThePod) {
  Attach(first_, "none");
  Attach(second_, "none");
  Attach(second_, "none");
  ExpectLimit(second_, "pod.maxPending");
  Attach(other_, "none");
  EXPECT_TRUE(NothingSent(other_));
  registry_.Disconnect(first_);
  Attach(second_, "none");
  EXPECT_TRUE(NothingSent(second_));
}

TEST_F(PodLimitsTest, MappingsAreCountedForThePod) {
  Publish(other_, "r");
  const wire::Grant grant = Share(other_, first_, "r");
  Share(other_, second_, "r");
  Attach(second_, "r");
  ExpectLimit(second_, "pod.maxGrants");
  Detach(first_, grant.grant_id);
  Attach(second_, "r");
  Take<wire::Grant>(second_, MessageType::kGrant);
}

TEST_F(PodLimitsTest, SubscriptionsAreCountedForThePod) {
  const auto request = NewMessage<wire::Subscribe>(MessageType::kSubscribe, 1);
  registry_.Subscribe(first_, kGroup, request);
  registry_.Subscribe(second_, kGroup, request);
  Take<wire::Subscribed>(second_, MessageType::kSubscribed);
  registry_.Subscribe(second_, kGroup, request);
  ExpectLimit(second_, "pod.maxSubscriptions");
  registry_.Disconnect(first_);
  registry_.Subscribe(second_, kGroup, request);
  Take<wire::Subscribed>(second_, MessageType::kSubscribed);
}

class LanesTest : public testing::Test {
 protected:
  struct Talker final : Lane::Speaker {
    void TakeTurn() override {
      test->heard.push_back(name);
      if (--left > 0) test->lanes.Wait(lane, *this);
    }
    LanesTest* test;
    std::string name;
    std::shared_ptr<Lane> lane;
    int left;
  };
  std::unique_ptr<Talker> Add(const std::string& name, const std::string& pod, int left) {
    auto talker = std::make_unique<Talker>();
    talker->test = this;
    talker->name = name;
    talker->lane = lanes.Of(pod);
    talker->left = left;
    return talker;
  }

  int rounds_wanted = 0;
  Lanes lanes{[this] { ++rounds_wanted; }};
  std::vector<std::string> heard;
};

TEST_F(LanesTest, EachPodHasOneTurnARound) {
  const auto flood_1 = Add("flood-1", "flood", 2);
  const auto flood_2 = Add("flood-2", "flood", 2);
  const auto quiet = Add("quiet", "quiet", 1);
  lanes.Wait(flood_1->lane, *flood_1);
  lanes.Wait(flood_2->lane, *flood_2);
  lanes.Wait(flood_2->lane, *flood_2);  // once
  lanes.Wait(quiet->lane, *quiet);
  EXPECT_EQ(rounds_wanted, 1);
  lanes.RunRound();
  EXPECT_THAT(heard, ElementsAre("flood-1", "quiet"));
  EXPECT_EQ(rounds_wanted, 2);
  lanes.RunRound();
  lanes.RunRound();
  lanes.RunRound();
  EXPECT_THAT(heard, ElementsAre("flood-1", "quiet", "flood-2", "flood-1", "flood-2"));
  EXPECT_EQ(rounds_wanted, 4);  // none is left
}

TEST_F(LanesTest, WhoeverIsTakenOffHasNoTurn) {
  const auto first = Add("first", "pod", 1);
  const auto second = Add("second", "pod", 1);
  const auto other = Add("other", "other", 1);
  for (const auto& talker : {first.get(), second.get(), other.get()}) {
    lanes.Wait(talker->lane, *talker);
  }
  lanes.TakeOff(*first->lane, *first);
  lanes.TakeOff(*other->lane, *other);
  lanes.RunRound();
  lanes.RunRound();
  EXPECT_THAT(heard, ElementsAre("second"));
  lanes.Wait(other->lane, *other);
  lanes.RunRound();
  EXPECT_THAT(heard, ElementsAre("second", "other"));
}

TEST_F(LanesTest, APodHasOneLaneWhileAnybodyHoldsIt) {
  const auto lane = lanes.Of("pod");
  EXPECT_EQ(lanes.Of("pod"), lane);
  EXPECT_NE(lanes.Of("other"), lane);
}

}  // namespace
}  // namespace npu_ipc::broker
