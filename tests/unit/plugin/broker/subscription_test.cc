// Lists and subscriptions: what is told of names, in what order, to whom, and what is prepared
// ahead.
#include "gmock/gmock.h"
#include "plugin/broker/region_names.h"
#include "plugin/broker/subscriptions.h"
#include "tests/unit/plugin/broker/share_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using wire::Change;
using wire::MessageType;
using wire::Status;

class SubscriptionTest : public ShareRegistryTest {
 protected:
  explicit SubscriptionTest(const ShareLimits& limits = {}) : ShareRegistryTest(limits) {}

  wire::Subscribe SubscribeRequest(const std::string& prefix, bool admit_ahead, uint32_t device) {
    auto request = NewMessage<wire::Subscribe>(MessageType::kSubscribe, ++request_id_);
    PutText(request.prefix, prefix);
    request.admit_ahead = admit_ahead ? 1 : 0;
    request.claimed_physical_device = device;
    return request;
  }
  SubscriptionId Subscribe(ClientId client, const std::string& prefix, bool admit_ahead = false,
                           uint32_t device = 0) {
    registry_.Subscribe(client, kGroup, SubscribeRequest(prefix, admit_ahead, device));
    const auto answer = Take<wire::Subscribed>(client, MessageType::kSubscribed);
    Advance(Duration::zero());
    return answer.subscription_id;
  }
  void Unsubscribe(ClientId client, SubscriptionId subscription) {
    auto request = NewMessage<wire::Unsubscribe>(MessageType::kUnsubscribe, ++request_id_);
    request.subscription_id = subscription;
    registry_.Unsubscribe(client, request);
  }
  // "p:name", "a:name" and "g:name" of all that the client has been told.
  std::vector<std::string> Told(ClientId client) {
    Advance(Duration::zero());
    std::vector<std::string> told;
    while (!NothingSent(client)) {
      const auto change = Take<wire::RegionChange>(client, MessageType::kRegionChange);
      const char* kind = change.change == Change::kPublished  ? "p:"
                         : change.change == Change::kAdmitted ? "a:"
                                                              : "g:";
      told.push_back(kind + std::string(Text(change.region.name)));
    }
    return told;
  }
  std::vector<std::string> List(ClientId client, const std::string& prefix) {
    std::vector<std::string> names;
    auto request = NewMessage<wire::List>(MessageType::kList, ++request_id_);
    PutText(request.prefix, prefix);
    for (;;) {
      registry_.ListRegions(client, kGroup, request);
      const auto listed = Take<wire::Listed>(client, MessageType::kListed);
      if (listed.found == 0) return names;
      names.emplace_back(Text(listed.region.name));
      PutText(request.after, names.back());
    }
  }
  wire::Admit TakeAdmit(ClientId exporter) {
    Advance(Duration::zero());
    return Take<wire::Admit>(exporter, MessageType::kAdmit);
  }

  const ClientId exporter_ = AddProcess(100);
  const ClientId importer_ = AddProcess(200);
};

TEST_F(SubscriptionTest, ListsInTheOrderOfNamesWhatIsThere) {
  for (const char* name : {"rank-2", "other", "rank-10", "rank-1", "ranks"}) {
    Publish(exporter_, name);
  }
  EXPECT_THAT(List(importer_, "rank-"), ElementsAre("rank-1", "rank-10", "rank-2"));
  EXPECT_THAT(List(importer_, ""), ElementsAre("other", "rank-1", "rank-10", "rank-2", "ranks"));
  EXPECT_THAT(List(importer_, "none"), IsEmpty());
}

TEST_F(SubscriptionTest, AListedRegionIsDescribed) {
  const auto published = Publish(exporter_, "r", 3);
  Share(exporter_, importer_, "r", 3);
  registry_.ListRegions(importer_, kGroup, NewMessage<wire::List>(MessageType::kList, 7));
  const auto listed = Take<wire::Listed>(importer_, MessageType::kListed);
  EXPECT_EQ(listed.header.request_id, 7u);
  EXPECT_EQ(Text(listed.region.group), "weights");
  EXPECT_EQ(listed.region.region_id, published.region_id);
  EXPECT_EQ(listed.region.generation, published.generation);
  EXPECT_EQ(listed.region.allocation_bytes, 4096u);
  EXPECT_EQ(listed.region.view_bytes, 4096u);
  EXPECT_EQ(listed.region.exporter_physical_device, 3u);
  EXPECT_EQ(listed.region.exporter_host_pid, 100);
  EXPECT_EQ(listed.region.importers, 1u);
  EXPECT_EQ(Text(listed.region.exporter_pod), "pod-100");
}

TEST_F(SubscriptionTest, ExistingAndComingNamesAreToldAndThoseThatGo) {
  const auto first = Publish(exporter_, "rank-1");
  Publish(exporter_, "other");
  Subscribe(importer_, "rank-");
  EXPECT_THAT(Told(importer_), ElementsAre("p:rank-1"));
  Publish(exporter_, "rank-0");
  Publish(exporter_, "another");
  EXPECT_THAT(Told(importer_), ElementsAre("p:rank-0"));
  Withdraw(exporter_, first.region_id, 0);
  EXPECT_THAT(Told(importer_), ElementsAre("g:rank-1"));
  registry_.Remove(exporter_);
  EXPECT_THAT(Told(importer_), ElementsAre("g:rank-0"));
}

TEST_F(SubscriptionTest, EndsWithUnsubscribeAndWithTheConnection) {
  const SubscriptionId subscription = Subscribe(importer_, "");
  Unsubscribe(exporter_, subscription);  // not its own
  Publish(exporter_, "a");
  EXPECT_THAT(Told(importer_), ElementsAre("p:a"));
  Unsubscribe(importer_, subscription);
  Publish(exporter_, "b");
  EXPECT_THAT(Told(importer_), IsEmpty());
  Subscribe(importer_, "");
  EXPECT_TRUE(Counted("subscriptions 1"));
  registry_.Disconnect(importer_);
  EXPECT_TRUE(Counted("subscriptions 0"));
}

TEST_F(SubscriptionTest, OfANameThatChangesWhileThereIsNoRoomTheLatestStateIsTold) {
  const auto first = Publish(exporter_, "a");
  Subscribe(importer_, "");
  EXPECT_THAT(Told(importer_), ElementsAre("p:a"));
  context_.full.insert(importer_);
  Withdraw(exporter_, first.region_id, 0);
  Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn);
  Publish(exporter_, "a");
  Withdraw(exporter_, Publish(exporter_, "b").region_id, 0);
  Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn);
  EXPECT_THAT(Told(importer_), IsEmpty());
  context_.full.clear();
  registry_.OnRoom(importer_);
  EXPECT_THAT(Told(importer_), ElementsAre("p:a", "g:b"));
}

TEST_F(SubscriptionTest, NobodyIsToldWithinTheRequestThatChangedSomething) {
  for (int i = 0; i < 100; ++i) Publish(exporter_, "r" + std::to_string(1000 + i));
  registry_.Subscribe(importer_, kGroup, SubscribeRequest("", false, 0));
  EXPECT_EQ(context_.sent[importer_].size(), 1u);
  Take<wire::Subscribed>(importer_, MessageType::kSubscribed);
  EXPECT_EQ(registry_.NextDeadline(), clock_.Now());
  const std::vector<std::string> told = Told(importer_);
  ASSERT_EQ(told.size(), 100u);
  EXPECT_EQ(told.front(), "p:r1000");
  EXPECT_EQ(told.back(), "p:r1099");
  EXPECT_EQ(registry_.NextDeadline(), std::nullopt);
}

TEST_F(SubscriptionTest, WithoutTheRightNothingIsToldAndAfterwardsEverything) {
  Publish(exporter_, "a");
  context_.no_import.insert(importer_);
  registry_.Subscribe(importer_, kGroup, SubscribeRequest("", false, 0));
  EXPECT_EQ(TakeRefused(importer_).status, Status::kRoleDenied);
  context_.no_import.clear();
  Subscribe(importer_, "");
  EXPECT_THAT(Told(importer_), ElementsAre("p:a"));
  context_.no_import.insert(importer_);
  Publish(exporter_, "b");
  EXPECT_THAT(Told(importer_), IsEmpty());
  context_.no_import.clear();
  Publish(exporter_, "c");
  EXPECT_THAT(Told(importer_), ElementsAre("p:a", "p:b", "p:c"));
}

TEST_F(SubscriptionTest, AdmittedAheadAnAttachTakesOneRoundTrip) {
  Publish(exporter_, "r", 0);
  Subscribe(importer_, "", /*admit_ahead=*/true, /*device=*/1);
  EXPECT_THAT(Told(importer_), ElementsAre("p:r"));
  const wire::Admit admit = TakeAdmit(exporter_);
  EXPECT_EQ(admit.importer_host_pid, 200);
  EXPECT_EQ(admit.importer_physical_device, 1u);
  EXPECT_EQ(admit.enable_peer_access, 1u);
  Answer(exporter_, admit);
  EXPECT_THAT(Told(importer_), ElementsAre("a:r"));
  // Also when all attaches have ended: peer access stays in use.
  for (int i = 0; i < 2; ++i) {
    Attach(importer_, "r", 1);
    const auto grant = Take<wire::Grant>(importer_, MessageType::kGrant);
    Detach(importer_, grant.grant_id);
    Take<wire::PeerRelease>(importer_, MessageType::kPeerRelease);  // its own side
    EXPECT_TRUE(NothingSent(exporter_));
  }
}

TEST_F(SubscriptionTest, TheEndOfASubscriptionEndsThePeerAccessThatItKept) {
  Publish(exporter_, "r", 0);
  const SubscriptionId subscription = Subscribe(importer_, "", true, 1);
  Answer(exporter_, TakeAdmit(exporter_));
  EXPECT_TRUE(NothingSent(exporter_));
  Unsubscribe(importer_, subscription);
  const auto release = Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  EXPECT_EQ(release.own_physical_device, 0u);
  EXPECT_EQ(release.peer_physical_device, 1u);
}

TEST_F(SubscriptionTest, TheRegionsEndEndsTheAdmissionAtAnyPoint) {
  const auto asked = Publish(exporter_, "r", 0, "key-1");
  Subscribe(importer_, "", true, 1);
  const wire::Admit admit = TakeAdmit(exporter_);
  Withdraw(exporter_, asked.region_id, 0);
  Take<wire::PeerRelease>(exporter_, MessageType::kPeerRelease);
  Take<wire::Withdrawn>(exporter_, MessageType::kWithdrawn);
  EXPECT_THAT(Told(importer_), ElementsAre("p:r", "g:r"));
  EXPECT_EQ(registry_.waiting_attaches(), 0u);
  Answer(exporter_, admit);  // late
  Publish(exporter_, "r", 0, "key-2");
  Answer(exporter_, TakeAdmit(exporter_));
  EXPECT_THAT(Told(importer_), ElementsAre("p:r", "a:r"));
  registry_.Remove(exporter_);
  EXPECT_THAT(Told(importer_), ElementsAre("g:r"));
}

TEST_F(SubscriptionTest, AnExporterIsAskedForAFewAtATime) {
  for (int i = 0; i < 9; ++i) {
    Publish(exporter_, "r" + std::to_string(i), 0, "key-" + std::to_string(i));
  }
  Subscribe(importer_, "", true, 0);
  std::deque<wire::Admit> asked;
  size_t admitted = 0;
  do {
    while (!NothingSent(exporter_)) asked.push_back(TakeAdmit(exporter_));
    ASSERT_FALSE(asked.empty());
    EXPECT_LE(asked.size(), 4u);
    Answer(exporter_, asked.front());
    asked.pop_front();
  } while (++admitted < 9);
  Told(importer_);
  // An attach on demand is not one of them.
  const ClientId other = AddProcess(300);
  Attach(other, "r0");
  EXPECT_EQ(TakeAdmit(exporter_).importer_host_pid, 300);
}

TEST_F(SubscriptionTest, AnAdmissionThatFailsIsNotToldAndNotTriedAgain) {
  Publish(exporter_, "r");
  Subscribe(importer_, "", true);
  Answer(exporter_, TakeAdmit(exporter_), Status::kExporterFailed, 507899);
  EXPECT_THAT(Told(importer_), ElementsAre("p:r"));
  EXPECT_TRUE(context_.refused[importer_].empty());
  EXPECT_TRUE(NothingSent(exporter_));
  // It is on demand then.
  Answer(exporter_, (Attach(importer_, "r"), TakeAdmit(exporter_)));
  Take<wire::Grant>(importer_, MessageType::kGrant);
}

TEST_F(SubscriptionTest, AnExporterThatDoesNotAnswerIsGivenUpOn) {
  Publish(exporter_, "r");
  Subscribe(importer_, "", true);
  TakeAdmit(exporter_);
  Advance(ShareLimits().admit_deadline);
  EXPECT_EQ(registry_.waiting_attaches(), 0u);
  EXPECT_THAT(Told(importer_), ElementsAre("p:r"));
}

TEST_F(SubscriptionTest, AdmissionsAheadAreNoAttachRequestsOfTheProcess) {
  for (int i = 0; i < 3; ++i) Publish(exporter_, "r" + std::to_string(i));
  Subscribe(importer_, "", true);
  EXPECT_TRUE(Counted("attaches_total{result=\"granted\"} 0"));
  while (!NothingSent(exporter_)) Answer(exporter_, TakeAdmit(exporter_));
  EXPECT_TRUE(Counted("attaches_total{result=\"granted\"} 0"));
  EXPECT_EQ(registry_.grants(), 0u);
}

class SmallLimitsTest : public SubscriptionTest {
 protected:
  SmallLimitsTest() : SubscriptionTest(Small()) {}
  static ShareLimits Small() {
    ShareLimits limits;
    limits.subscriptions = 2;
    limits.untold_changes = 3;
    limits.admitted_ahead = 2;
    return limits;
  }
};

TEST_F(SmallLimitsTest, SubscriptionsOfAProcessAreCounted) {
  Subscribe(importer_, "a");
  Subscribe(importer_, "b");
  registry_.Subscribe(importer_, kGroup, SubscribeRequest("c", false, 0));
  const wire::Refused refused = TakeRefused(importer_);
  EXPECT_EQ(refused.status, Status::kLimit);
  EXPECT_THAT(std::string(Text(refused.reason)), testing::HasSubstr("client.maxSubscriptions"));
}

TEST_F(SmallLimitsTest, ASubscriberThatDoesNotReadIsDropped) {
  Subscribe(importer_, "");
  context_.full.insert(importer_);
  for (int i = 0; i < 3; ++i) Publish(exporter_, "r" + std::to_string(i));
  Advance(Duration::zero());
  EXPECT_THAT(context_.dropped, IsEmpty());
  Publish(exporter_, "r3");
  Advance(Duration::zero());
  EXPECT_THAT(context_.dropped, ElementsAre(importer_));
}

TEST_F(SmallLimitsTest, OnlyAWindowOfRegionsIsAdmittedAhead) {
  for (int i = 0; i < 3; ++i) Publish(exporter_, "r" + std::to_string(i));
  Subscribe(importer_, "", true);
  for (int i = 0; i < 2; ++i) Answer(exporter_, TakeAdmit(exporter_));
  EXPECT_TRUE(NothingSent(exporter_));
  EXPECT_THAT(Told(importer_), ElementsAre("p:r0", "p:r1", "p:r2", "a:r0", "a:r1"));
}

TEST(RegionNamesTest, NextIsWithinTheGroupAndThePrefix) {
  const GroupKey group{"ns", "g"};
  const RegionName b1{group, "b1"}, b2{group, "b2"}, other{{"ns", "h"}, "b3"};
  RegionNames names;
  names.emplace(&b1, 1);
  names.emplace(&b2, 2);
  names.emplace(&other, 3);
  EXPECT_TRUE(names.contains({group, "b2"}));
  EXPECT_FALSE(names.contains({group, "b3"}));
  EXPECT_EQ(names.Next(group, "b", ""), "b1");
  EXPECT_EQ(names.Next(group, "b", "a"), "b1");
  EXPECT_EQ(names.Next(group, "b", "b1"), "b2");
  EXPECT_EQ(names.Next(group, "b", "b2"), std::nullopt);
  EXPECT_EQ(names.Next(group, "c", ""), std::nullopt);
  EXPECT_EQ(names.Next({"ns", "i"}, "", ""), std::nullopt);
  names.erase({group, "b2"});
  EXPECT_EQ(names.Next(group, "", "b1"), std::nullopt);
  EXPECT_THAT(names.TakeChanges(), IsEmpty());  // nobody asked for them
}

TEST(SubscriptionsTest, ConcernedAreThoseWhosePrefixTheNameHas) {
  const GroupKey group{"ns", "g"};
  Subscriptions subscriptions;
  SubscriptionId id = 0;
  for (const char* prefix : {"", "rank-", "rank-1", "s"}) {
    Subscription subscription;
    subscription.id = ++id;
    subscription.client = 7;
    subscription.group = group;
    subscription.prefix = prefix;
    subscriptions.Add(std::move(subscription));
  }
  EXPECT_THAT(subscriptions.Concerned({group, "rank-12"}), UnorderedElementsAre(1, 2, 3));
  EXPECT_THAT(subscriptions.Concerned({group, "rank"}), UnorderedElementsAre(1));
  EXPECT_THAT(subscriptions.Concerned({{"ns", "h"}, "rank-12"}), IsEmpty());
  subscriptions.Remove(2);
  EXPECT_THAT(subscriptions.Concerned({group, "rank-2"}), UnorderedElementsAre(1));
  EXPECT_EQ(subscriptions.CountOf(7), 3u);
}

}  // namespace
}  // namespace npu_ipc::broker
