// npu_ipc_list and npu_ipc_subscribe: what is asked, and what the program reads of what it is told.
#include <poll.h>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::HasSubstr;

class SubscriptionTest : public ClientTest {
 protected:
  static wire::RegionDescription Describe(const std::string& name, uint64_t generation = 1) {
    wire::RegionDescription region = {};
    strcpy(region.group, "weights");
    strcpy(region.name, name.c_str());
    region.region_id = 7;
    region.generation = generation;
    region.allocation_bytes = kBytes;
    region.view_bytes = 8192;
    region.exporter_physical_device = 3;
    region.exporter_host_pid = 31337;
    region.importers = 2;
    strcpy(region.exporter_namespace, "team-b");
    strcpy(region.exporter_pod, "loader-0");
    strcpy(region.exporter_pod_uid, "uid-b");
    return region;
  }
  wire::Subscribe TakeSubscribe() {
    return connection_->Receive<wire::Subscribe>(wire::MessageType::kSubscribe);
  }
  void AnswerSubscribe(const wire::Subscribe& request, uint64_t id) {
    connection_->Send(wire::Subscribed{{}, id}, wire::MessageType::kSubscribed,
                      request.header.request_id);
  }
  npu_ipc_subscription* Subscribe(uint64_t id, uint32_t max_waiting = 0, bool admit_ahead = false) {
    npu_ipc_subscription* subscription = nullptr;
    auto subscribed = Later([&, max_waiting, admit_ahead] {
      npu_ipc_subscribe_options options = {};
      options.struct_bytes = sizeof(options);
      options.prefix = "rank-";
      options.admit_ahead = admit_ahead ? 1 : 0;
      options.max_waiting = max_waiting;
      return npu_ipc_subscribe(client_, &options, &subscription);
    });
    last_subscribe_ = TakeSubscribe();
    AnswerSubscribe(last_subscribe_, id);
    EXPECT_EQ(subscribed.get(), NPU_IPC_OK) << LastError();
    return subscription;
  }
  void Tell(uint64_t id, wire::Change change, const std::string& name, uint64_t generation = 1) {
    wire::RegionChange message = {};
    message.subscription_id = id;
    message.change = change;
    message.region = Describe(name, generation);
    connection_->Send(message, wire::MessageType::kRegionChange, 0);
  }
  // "name/generation change" of what comes next.
  std::string Next(npu_ipc_subscription* subscription, uint32_t wait_ms = kDeadlineMilliseconds) {
    npu_ipc_change change = {};
    region_ = {};
    region_.struct_bytes = sizeof(region_);
    const npu_ipc_status status =
        npu_ipc_subscription_next(subscription, wait_ms, &change, &region_);
    if (status != NPU_IPC_OK) return npu_ipc_status_name(status);
    return std::string(region_.name) + "/" + std::to_string(region_.generation) + " " +
           std::to_string(change);
  }
  // What was told before has been read by the library when this returns.
  void Flush() {
    EXPECT_EQ(npu_ipc_detach(Attach("m", ++grants_)), NPU_IPC_OK);
    connection_->Receive<wire::Detached>(wire::MessageType::kDetached);
  }

  wire::Subscribe last_subscribe_ = {};
  npu_ipc_region_description region_ = {};
  uint64_t grants_ = 100;
};

TEST_F(SubscriptionTest, ListsTheNextRegion) {
  Open();
  npu_ipc_region_description region = {};
  region.struct_bytes = sizeof(region);
  npu_ipc_list_options options = {};
  options.struct_bytes = sizeof(options);
  options.group = "weights";
  options.prefix = "rank-";
  options.after = "rank-1";
  auto listed = Later([&] { return npu_ipc_list(client_, &options, &region); });
  auto request = connection_->Receive<wire::List>(wire::MessageType::kList);
  EXPECT_STREQ(request.group, "weights");
  EXPECT_STREQ(request.prefix, "rank-");
  EXPECT_STREQ(request.after, "rank-1");
  connection_->Send(wire::Listed{{}, 1, 0, Describe("rank-2", 9)}, wire::MessageType::kListed,
                    request.header.request_id);
  ASSERT_EQ(listed.get(), NPU_IPC_OK);
  EXPECT_STREQ(region.group, "weights");
  EXPECT_STREQ(region.name, "rank-2");
  EXPECT_EQ(region.generation, 9u);
  EXPECT_EQ(region.allocation_bytes, kBytes);
  EXPECT_EQ(region.bytes, 8192u);
  EXPECT_EQ(region.exporter_device, 3u);
  EXPECT_EQ(region.exporter_host_pid, 31337);
  EXPECT_EQ(region.importers, 2u);
  EXPECT_STREQ(region.exporter_namespace, "team-b");
  EXPECT_STREQ(region.exporter_pod, "loader-0");
  EXPECT_STREQ(region.exporter_pod_uid, "uid-b");

  listed = Later([&] { return npu_ipc_list(client_, nullptr, &region); });
  request = connection_->Receive<wire::List>(wire::MessageType::kList);
  EXPECT_STREQ(request.prefix, "");
  connection_->Send(wire::Listed{}, wire::MessageType::kListed, request.header.request_id);
  EXPECT_EQ(listed.get(), NPU_IPC_NOT_FOUND);
  EXPECT_STREQ(region.name, "rank-2");  // outputs are written on success only
}

TEST_F(SubscriptionTest, MistakesAreNamed) {
  Open();
  npu_ipc_region_description region = {};
  EXPECT_EQ(npu_ipc_list(client_, nullptr, &region), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_THAT(LastError(), HasSubstr("struct_bytes"));
  EXPECT_EQ(npu_ipc_subscribe(client_, nullptr, nullptr), NPU_IPC_INVALID_ARGUMENT);
  const std::string too_long(128, 'x');
  npu_ipc_subscribe_options options = {};
  options.struct_bytes = sizeof(options);
  options.prefix = too_long.c_str();
  npu_ipc_subscription* subscription = nullptr;
  EXPECT_EQ(npu_ipc_subscribe(client_, &options, &subscription), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_THAT(LastError(), HasSubstr("127"));
  EXPECT_EQ(npu_ipc_subscription_next(nullptr, 0, nullptr, nullptr), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_unsubscribe(nullptr), NPU_IPC_INVALID_ARGUMENT);
}

TEST_F(SubscriptionTest, AnOlderBrokerIsNotAskedWhatItDoesNotKnow) {
  auto opened = OpenLater();
  connection_ = broker_.Accept();
  connection_->Welcome(/*speaks_minor=*/0);
  ASSERT_EQ(opened.get(), NPU_IPC_OK);
  npu_ipc_region_description region = {};
  region.struct_bytes = sizeof(region);
  EXPECT_EQ(npu_ipc_list(client_, nullptr, &region), NPU_IPC_UNSUPPORTED);
  npu_ipc_subscription* subscription = nullptr;
  EXPECT_EQ(npu_ipc_subscribe(client_, nullptr, &subscription), NPU_IPC_UNSUPPORTED);
  EXPECT_FALSE(connection_->Readable());
}

TEST_F(SubscriptionTest, ChangesAreReadInOrderAndTheLatestOfAName) {
  Open();
  npu_ipc_subscription* const subscription = Subscribe(5, 0, /*admit_ahead=*/true);
  EXPECT_STREQ(last_subscribe_.prefix, "rank-");
  EXPECT_EQ(last_subscribe_.admit_ahead, 1u);
  EXPECT_EQ(last_subscribe_.claimed_physical_device, kOwnPhysicalDevice);
  EXPECT_EQ(Next(subscription, 0), "NPU_IPC_NO_EVENT");
  Tell(5, wire::Change::kPublished, "rank-1");
  Tell(5, wire::Change::kPublished, "rank-2");
  Tell(5, wire::Change::kAdmitted, "rank-1", 2);
  Tell(6, wire::Change::kPublished, "rank-3");  // nobody's
  Flush();
  EXPECT_EQ(Next(subscription), "rank-1/2 2");
  EXPECT_STREQ(region_.exporter_pod, "loader-0");
  EXPECT_EQ(Next(subscription), "rank-2/1 1");
  EXPECT_EQ(Next(subscription, 0), "NPU_IPC_NO_EVENT");
  Tell(5, wire::Change::kGone, "rank-1", 2);
  EXPECT_EQ(Next(subscription), "rank-1/2 3");  // waits for it
}

TEST_F(SubscriptionTest, AnEventTellsThatSomethingWaits) {
  Open();
  npu_ipc_subscription* const subscription = Subscribe(5);
  pollfd waiting = {npu_ipc_event_fd(client_), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);
  Tell(5, wire::Change::kPublished, "rank-1");
  EXPECT_EQ(::poll(&waiting, 1, kDeadlineMilliseconds), 1);
  const npu_ipc_event event = NextEvent();
  EXPECT_EQ(event.type, NPU_IPC_EVENT_SUBSCRIPTION);
  EXPECT_EQ(event.subscription, subscription);
  EXPECT_EQ(event.mapping, nullptr);
  EXPECT_EQ(event.region, nullptr);
  Tell(5, wire::Change::kPublished, "rank-2");
  EXPECT_EQ(Next(subscription), "rank-1/1 1");
  EXPECT_EQ(Next(subscription), "rank-2/1 1");
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);  // all read: the event is gone
}

TEST_F(SubscriptionTest, UnsubscribeIsToldAndDropsWhatWaits) {
  Open();
  npu_ipc_subscription* const subscription = Subscribe(5);
  Tell(5, wire::Change::kPublished, "rank-1");
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_SUBSCRIPTION);
  EXPECT_EQ(npu_ipc_unsubscribe(subscription), NPU_IPC_OK);
  EXPECT_EQ(
      connection_->Receive<wire::Unsubscribe>(wire::MessageType::kUnsubscribe).subscription_id, 5u);
  Tell(5, wire::Change::kPublished, "rank-2");  // was on its way
  Flush();
  npu_ipc_event event = {};
  event.struct_bytes = sizeof(event);
  EXPECT_EQ(npu_ipc_next_event(client_, 0, &event), NPU_IPC_NO_EVENT);
}

TEST_F(SubscriptionTest, MoreThanMayWaitIsAResetAndThenToldAnew) {
  Open();
  npu_ipc_subscription* const subscription = Subscribe(5, /*max_waiting=*/2);
  for (const char* name : {"rank-1", "rank-2", "rank-3", "rank-4"}) {
    Tell(5, wire::Change::kPublished, name);
  }
  EXPECT_EQ(
      connection_->Receive<wire::Unsubscribe>(wire::MessageType::kUnsubscribe).subscription_id, 5u);
  Flush();
  EXPECT_EQ(Next(subscription), "/0 4");
  const wire::Subscribe again = TakeSubscribe();
  EXPECT_STREQ(again.prefix, "rank-");
  AnswerSubscribe(again, 6);
  Tell(6, wire::Change::kPublished, "rank-1");
  EXPECT_EQ(Next(subscription), "rank-1/1 1");
}

TEST_F(SubscriptionTest, OutlivesTheBroker) {
  Open();
  npu_ipc_subscription* const subscription = Subscribe(5, 0, /*admit_ahead=*/true);
  Tell(5, wire::Change::kPublished, "rank-1");
  Flush();
  connection_->Close();
  while (NextEvent().type != NPU_IPC_EVENT_DISCONNECTED) {
  }
  EXPECT_EQ(Next(subscription), "/0 4");
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("m", &mapping);
  connection_ = broker_.Accept();
  connection_->Welcome();
  wire::Attach attach = {};
  bool subscribed = false;
  // In either order: the caller and the library's thread.
  while (!subscribed || attach.header.bytes == 0) {
    alignas(8) unsigned char buffer[wire::kMaxMessageBytes];
    ASSERT_NE(connection_->ReceiveAny(buffer, sizeof(buffer)), 0u);
    wire::MessageHeader header;
    memcpy(&header, buffer, sizeof(header));
    if (header.type == wire::MessageType::kAttach) memcpy(&attach, buffer, sizeof(attach));
    if (header.type != wire::MessageType::kSubscribe) continue;
    wire::Subscribe again;
    memcpy(&again, buffer, sizeof(again));
    EXPECT_STREQ(again.prefix, "rank-");
    EXPECT_EQ(again.admit_ahead, 1u);
    EXPECT_EQ(again.claimed_physical_device, kOwnPhysicalDevice);
    AnswerSubscribe(again, 9);
    subscribed = true;
  }
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, attach.header.request_id);
  EXPECT_EQ(attached.get(), NPU_IPC_OK);
  Tell(9, wire::Change::kPublished, "rank-2");
  EXPECT_EQ(Next(subscription), "rank-2/1 1");
}

TEST_F(SubscriptionTest, ALateSubscribedIsGivenBack) {
  Open(/*timeout_ms=*/100);
  npu_ipc_subscription* subscription = nullptr;
  auto subscribed = Later([&] { return npu_ipc_subscribe(client_, nullptr, &subscription); });
  const wire::Subscribe request = TakeSubscribe();
  EXPECT_EQ(subscribed.get(), NPU_IPC_TIMED_OUT);
  AnswerSubscribe(request, 5);
  EXPECT_EQ(
      connection_->Receive<wire::Unsubscribe>(wire::MessageType::kUnsubscribe).subscription_id, 5u);
}

TEST_F(SubscriptionTest, ARefusalIsPassedOn) {
  Open();
  npu_ipc_subscription* subscription = nullptr;
  auto subscribed = Later([&] { return npu_ipc_subscribe(client_, nullptr, &subscription); });
  connection_->Refuse(TakeSubscribe().header.request_id, wire::Status::kLimit, "too many");
  EXPECT_EQ(subscribed.get(), NPU_IPC_LIMIT);
  EXPECT_EQ(LastError(), "too many");
  EXPECT_EQ(subscription, nullptr);
}

}  // namespace
}  // namespace npu_ipc::test
