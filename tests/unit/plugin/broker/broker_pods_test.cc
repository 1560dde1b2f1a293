// The broker with its pods from an API server.
#include <signal.h>

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using wire::Status;

class BrokerPodsTest : public BrokerProcessTest {
 protected:
  BrokerPodsTest() { has_pods_file_ = false; }

  // After the clients: they are forked, from a process of one thread.
  void StartServer() {
    server_ = std::make_unique<FakeApiServer>(FakeApiServerOptions{.tls = false});
    server_->SetToken("");  // none is sent without TLS
    port_ = server_->port();
  }
  void StartFollowing(const std::vector<std::string>& more_flags = {}) {
    std::ofstream(directory_.Path("kubeconfig"))
        << "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],\n"
           " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:"
        << port_ << "'}}], users: [{name: u, user: {}}]}\n";
    cluster_enabled_ = "auto";
    std::vector<std::string> flags = {"--cluster-kubeconfig=" + directory_.Path("kubeconfig"),
                                      "--node-name=node-1"};
    flags.insert(flags.end(), more_flags.begin(), more_flags.end());
    StartBroker(flags);
  }
  static cluster::ObjectPath PathOf(const PodRecord& pod) {
    return {cluster::kPods, "team", pod.name};
  }
  void Put(const PodRecord& pod) {
    server_->Put(PathOf(pod),
                 json{{"metadata", {{"uid", pod.uid}, {"annotations", pod.annotations}}},
                      {"spec", {{"nodeName", "node-1"}}}});
  }
  void Greet(ClientProcess& client) {
    ASSERT_TRUE(client.Connect(socket_));
    Send(client, Hello());
  }
  void ExpectPublishes(ClientProcess& client, const std::string& name) {
    Send(client, Publish(name));
    Receive<wire::Published>(client, wire::MessageType::kPublished);
  }

  uint16_t port_ = 1;  // nobody serves it
  std::unique_ptr<FakeApiServer> server_;
};

TEST_F(BrokerPodsTest, MembersAreWhoTheApiServerSays) {
  const PodRecord known = AddPod("known", "weights");
  const PodRecord late = AddPod("late", "weights");
  const auto member = AddProcess(known);
  const auto waiting = AddProcess(late);
  StartServer();
  Put(known);
  StartFollowing();
  ASSERT_TRUE(WaitUntil([&] { return Get("/readyz").first == 200; }));
  Greet(*member);
  Receive<wire::Welcome>(*member, wire::MessageType::kWelcome);
  ExpectPublishes(*member, "rank-0");

  Greet(*waiting);  // before the API server has told of its pod
  ASSERT_TRUE(WaitForMetric("connections_total 2"));
  Put(late);
  Receive<wire::Welcome>(*waiting, wire::MessageType::kWelcome);

  server_->Delete(PathOf(known));
  ASSERT_TRUE(WaitForMetric("pods 1"));
  EXPECT_EQ(Receive<wire::Republished>(*member, wire::MessageType::kRepublished).generation, 0U)
      << "what it published has gone with its right";
  Send(*member, Publish("rank-1"));
  EXPECT_EQ(ReceiveRefused(*member).status, Status::kUnknownPod);
  EXPECT_EQ(server_->Requests("list").size(), 1U);
  EXPECT_EQ(server_->Requests("watch").size(), 1U);
}

TEST_F(BrokerPodsTest, WhileTheServerIsAwayKnownPodsGoOnAndOthersAreToldWhy) {
  const PodRecord known = AddPod("known", "weights");
  const PodRecord other = AddPod("other", "weights");
  const auto member = AddProcess(known);
  const auto stranger = AddProcess(other);
  StartServer();
  Put(known);
  StartFollowing({"--pods-wait-timeout=50ms"});
  ASSERT_TRUE(WaitUntil([&] { return Get("/readyz").first == 200; }));
  server_.reset();
  ASSERT_TRUE(WaitUntil([&] { return Get("/readyz").first == 503; }));
  EXPECT_THAT(Get("/readyz").second, HasSubstr("pods: watch pods: http://127.0.0.1:"));
  Greet(*member);
  Receive<wire::Welcome>(*member, wire::MessageType::kWelcome);
  ExpectPublishes(*member, "rank-0");
  Greet(*stranger);
  const wire::Refused refused = ReceiveRefused(*stranger);
  EXPECT_EQ(refused.status, Status::kUnknownPod);
  EXPECT_THAT(refused.reason, HasSubstr("watch pods: http://127.0.0.1:"));
}

TEST_F(BrokerPodsTest, AfterARestartItKnowsItsPodsBeforeItHasHeardTheServer) {
  const PodRecord known = AddPod("known", "weights");
  const PodRecord other = AddPod("other", "weights");
  const auto member = AddProcess(known);
  const auto stranger = AddProcess(other);
  StartServer();
  Put(known);
  StartFollowing();
  ASSERT_TRUE(WaitUntil([&] { return std::filesystem::exists(directory_.Path("state/pods")); }));
  broker_->Signal(SIGKILL);
  ASSERT_TRUE(broker_->Wait().ok());
  server_.reset();
  StartFollowing({"--pods-wait-timeout=50ms"});
  EXPECT_THAT(Log(), HasSubstr("pods known from before the restart: pods=1"));
  EXPECT_EQ(Get("/readyz").first, 503);
  Greet(*member);
  Receive<wire::Welcome>(*member, wire::MessageType::kWelcome);
  Send(*member, Publish("rank-0"));
  const wire::Refused refused = ReceiveRefused(*member);
  EXPECT_EQ(refused.status, Status::kTimedOut);
  EXPECT_THAT(refused.reason, HasSubstr("nothing new is granted until it has"));
  Greet(*stranger);
  EXPECT_EQ(ReceiveRefused(*stranger).status, Status::kUnknownPod);
}

TEST_F(BrokerPodsTest, NeedsOneSourceOfPods) {
  EXPECT_EQ(RunBroker({"--socket-path=" + socket_, "--http-listen-address=off",
                       "--cluster-enabled=false"}),
            2);
  EXPECT_THAT(Log(), HasSubstr("pods.file is not set, and there is no API server to ask"));
  EXPECT_EQ(RunBroker({"--socket-path=" + socket_, "--pods-file=" + pods_file_,
                       "--state-directory=state"}),
            2);
  EXPECT_THAT(Log(), HasSubstr("state.directory 'state' is not an absolute path"));
}

}  // namespace
}  // namespace npu_ipc::broker
