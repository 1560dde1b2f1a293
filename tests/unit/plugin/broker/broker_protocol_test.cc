// What clients may send, and what becomes of those who send something else.
#include <string.h>

#include <functional>

#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class BrokerProtocolTest : public BrokerProcessTest {
 protected:
  void SetUp() override {
    BrokerProcessTest::SetUp();
    StartBroker();
    pod_ = AddPod("trainer", "weights");
    bystander_ = AddClient(pod_);
  }
  // The bystander's requests are answered as ever.
  void ExpectBystanderServed() {
    Send(*bystander_, Attach("nobody-has-it", 0));
    EXPECT_EQ(ReceiveRefused(*bystander_).status, Status::kNotFound);
  }
  void ExpectRefusedAndClosed(ClientProcess& client, Status status, const std::string& reason) {
    const wire::Refused refused = ReceiveRefused(client);
    EXPECT_EQ(refused.status, status);
    EXPECT_THAT(refused.reason, HasSubstr(reason));
    EXPECT_TRUE(Closed(client));
  }

  PodRecord pod_;
  std::shared_ptr<ClientProcess> bystander_;
};

TEST_F(BrokerProtocolTest, BadMessagesEndTheirConnectionAndNoOther) {
  wire::Publish good = Publish("rank-0");
  wire::Publish newer = good;
  newer.header.version_minor = wire::kVersionMinor + 1;
  wire::Publish other_major = good;
  other_major.header.version_major += 1;
  wire::Publish unknown_type = good;
  unknown_type.header.type = static_cast<MessageType>(12345);
  wire::Publish bad_view = good;
  bad_view.view_offset = 1;
  char oversized[4096] = {};
  memcpy(oversized, &good.header, sizeof(good.header));
  reinterpret_cast<wire::MessageHeader*>(oversized)->bytes = sizeof(oversized);

  struct Case {
    const void* packet;
    size_t bytes;
    Status status;
    const char* reason;
  };
  const Case cases[] = {
      {&good, 3, Status::kMalformed, "3 bytes are no message"},
      {&good, 20, Status::kMalformed, "hold no header"},
      {&good, sizeof(good) - 1, Status::kMalformed, "the packet has"},
      {oversized, sizeof(oversized), Status::kMalformed, "4096 bytes are more than the 1024"},
      {&unknown_type, sizeof(good), Status::kMalformed, "unknown type 12345"},
      {&newer, sizeof(good), Status::kVersionMismatch, "this broker speaks 1.2"},
      {&other_major, sizeof(good), Status::kVersionMismatch, "this broker speaks 1.2"},
      {&bad_view, sizeof(good), Status::kMalformed, "not within the allocation"},
  };
  for (const Case& test : cases) {
    const auto client = AddClient(pod_);
    client->Send(test.packet, test.bytes);
    ExpectRefusedAndClosed(*client, test.status, test.reason);
    ExpectBystanderServed();
  }
}

TEST_F(BrokerProtocolTest, HelloComesFirstAndOnce) {
  const auto early = AddProcess(pod_);
  ASSERT_TRUE(early->Connect(socket_));
  Send(*early, Attach("rank-0", 0));
  ExpectRefusedAndClosed(*early, Status::kMalformed, "before Hello");
  const auto twice = AddClient(pod_);
  Send(*twice, Hello());
  ExpectRefusedAndClosed(*twice, Status::kMalformed, "second Hello");
  ExpectBystanderServed();
}

TEST_F(BrokerProtocolTest, AGroupWithoutRegionsHasNothingToList) {
  Send(*bystander_, NewMessage<wire::List>(MessageType::kList, 9));
  EXPECT_EQ(Receive<wire::Listed>(*bystander_, MessageType::kListed).found, 0U);
  ExpectBystanderServed();
}

TEST_F(BrokerProtocolTest, AClientThatDoesNotReadIsDropped) {
  const auto flood = AddClient(pod_);
  wire::Attach attach = Attach("nobody-has-it", 0);
  flood->Flood(&attach, sizeof(attach), 100000);
  EXPECT_TRUE(WaitForMetric("slow_clients_total 1"));
  EXPECT_TRUE(WaitForLog("does not read"));
  ExpectBystanderServed();
}

class BrokerSilenceTest : public BrokerProcessTest {};

TEST_F(BrokerSilenceTest, ASilentConnectionIsDropped) {
  StartBroker({"--client-hello-timeout=50ms"});
  const auto client = AddProcess(AddPod("trainer", "weights"));
  ASSERT_TRUE(client->Connect(socket_));
  const wire::Refused refused = ReceiveRefused(*client);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_TRUE(Closed(*client));
}

}  // namespace
}  // namespace npu_ipc::broker
