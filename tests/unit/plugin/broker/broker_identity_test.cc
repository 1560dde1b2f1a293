// Who the broker takes a process for, and whom it refuses.
#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class BrokerIdentityTest : public BrokerProcessTest {
 protected:
  // Connects and says Hello; the broker must refuse it and close.
  wire::Refused HelloRefused(ClientProcess& client) {
    EXPECT_TRUE(client.Connect(socket_));
    // Of 1.0: a later one may stay, to tell what it holds.
    wire::Hello hello = Hello(77);
    hello.header.speaks_minor = 0;
    Send(client, hello);
    const wire::Refused refused = ReceiveRefused(client);
    EXPECT_EQ(refused.header.request_id, 77U);
    EXPECT_TRUE(Closed(client));
    return refused;
  }
};

TEST_F(BrokerIdentityTest, TellsAProcessWhoItIs) {
  StartBroker();
  const PodRecord pod = AddPod("trainer", "weights,kv:importer");
  const auto client = AddProcess(pod);
  ASSERT_TRUE(client->Connect(socket_));
  Send(*client, Hello(42));
  const auto welcome = Receive<wire::Welcome>(*client, MessageType::kWelcome);
  EXPECT_EQ(welcome.header.request_id, 42U);
  EXPECT_EQ(welcome.host_pid, client->pid());
  EXPECT_EQ(welcome.group_count, 2U);
  EXPECT_STREQ(welcome.pod_namespace, "team");
  EXPECT_STREQ(welcome.pod_name, "trainer");
  EXPECT_EQ(welcome.pod_uid, pod.uid);
  EXPECT_EQ(welcome.container_id, container_ids_[pod.uid]);
  EXPECT_STREQ(welcome.groups, "weights:both,kv:importer");
  EXPECT_STRNE(welcome.broker_version, "");
  EXPECT_TRUE(WaitForLog("client connected: pod=team/trainer"));
  EXPECT_TRUE(WaitForMetric("clients 1"));
  client->Kill();
  EXPECT_TRUE(WaitForMetric("clients 0"));
}

TEST_F(BrokerIdentityTest, AProcessInNoPodIsRefused) {
  StartBroker();
  ClientProcess client;
  const wire::Refused refused = HelloRefused(client);
  EXPECT_EQ(refused.status, Status::kNotInPod);
  EXPECT_THAT(refused.reason, HasSubstr("process " + std::to_string(client.pid())));
  EXPECT_TRUE(WaitForMetric("denials_total{reason=\"not_in_pod\"} 1"));
}

TEST_F(BrokerIdentityTest, ACgroupThatClaimsAnotherPodFurtherDownDoesNotCount) {
  StartBroker();
  const PodRecord own = AddPod("own", "weights");
  const PodRecord victim = AddPod("victim", "weights");
  const auto client =
      AddProcess(own, "kubepods/burstable/pod" + victim.uid + "/" + std::string(64, 'a'));
  ASSERT_TRUE(client->Connect(socket_));
  Send(*client, Hello());
  EXPECT_STREQ(Receive<wire::Welcome>(*client, MessageType::kWelcome).pod_name, "own");
}

TEST_F(BrokerIdentityTest, APodWithoutTheAnnotationIsToldWhatToAdd) {
  StartBroker();
  const auto client = AddProcess(AddPod("plain", ""));
  const wire::Refused refused = HelloRefused(*client);
  EXPECT_EQ(refused.status, Status::kNoGroup);
  EXPECT_THAT(refused.reason,
              HasSubstr("pod team/plain has no npu-ipc.io/group annotation; add one"));
}

TEST_F(BrokerIdentityTest, ABadAnnotationIsNamed) {
  StartBroker();
  const auto bad = AddProcess(AddPod("bad", "weights:reader"));
  EXPECT_EQ(HelloRefused(*bad).status, Status::kBadAnnotation);
}

TEST_F(BrokerIdentityTest, APodThatTheDirectoryDoesNotLearnOfIsRefused) {
  StartBroker({"--pods-wait-timeout=100ms"});
  PodRecord unknown{"team", "unknown", RandomUid(), {}};
  const auto client = AddProcess(unknown);
  const wire::Refused refused = HelloRefused(*client);
  EXPECT_EQ(refused.status, Status::kUnknownPod);
  EXPECT_THAT(refused.reason, HasSubstr(unknown.uid));
  EXPECT_THAT(refused.reason, HasSubstr("after waiting 100 ms"));
}

TEST_F(BrokerIdentityTest, APodThatTheDirectoryLearnsOfMeanwhileIsServed) {
  StartBroker({"--pods-wait-timeout=10m"});
  PodRecord pod{"team", "late", RandomUid(), {{"npu-ipc.io/group", "weights"}}};
  const auto client = AddProcess(pod);
  const auto leaving = AddProcess(pod);
  ASSERT_TRUE(client->Connect(socket_) && leaving->Connect(socket_));
  Send(*leaving, Hello());
  Send(*client, Hello());
  leaving->Disconnect();
  pods_.push_back(pod);
  WritePods();
  EXPECT_STREQ(Receive<wire::Welcome>(*client, MessageType::kWelcome).pod_name, "late");
}

TEST_F(BrokerIdentityTest, AForkedChildIsToldToOpenItsOwn) {
  StartBroker();
  const auto client = AddClient(AddPod("trainer", "weights"));
  const wire::Attach attach = Attach("rank-0", 0);
  client->SendFromChild(&attach, sizeof(attach));
  EXPECT_EQ(ReceiveRefused(*client).status, Status::kReconnect);
  EXPECT_TRUE(Closed(*client));
}

TEST_F(BrokerIdentityTest, PeersWithoutAPidAreRefusedAndMakeTheBrokerUnready) {
  StartBroker({}, {"unshare", "--pid", "--fork", "--kill-child"});
  EXPECT_EQ(Get("/readyz").first, 200);
  const auto client = AddProcess(AddPod("trainer", "weights"));
  const wire::Refused refused = HelloRefused(*client);
  EXPECT_EQ(refused.status, Status::kInternal);
  EXPECT_THAT(refused.reason, HasSubstr("hostPID: true"));
  EXPECT_TRUE(WaitForLog("the kernel reports pid 0"));
  const auto [status, body] = Get("/readyz");
  EXPECT_EQ(status, 503);
  EXPECT_THAT(body, HasSubstr("hostPID: true"));
}

}  // namespace
}  // namespace npu_ipc::broker
