// The broker and an API server, which may be away.
#include <signal.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "plugin/device_view/device_view_server.h"
#include "plugin/device_view/state_publisher.h"
#include "tests/fakes/fake_api_server.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using wire::Status;

const cluster::ObjectPath kNode{cluster::kNodes, "", "node-1"};

class BrokerClusterTest : public BrokerProcessTest {
 protected:
  // After the clients: they are forked, from a process of one thread.
  void StartServer() {
    server_ = std::make_unique<FakeApiServer>(FakeApiServerOptions{.tls = false});
    server_->SetToken("");  // none is sent without TLS
    server_->Put(kNode, json{{"metadata", {{"labels", {{"kubernetes.io/os", "linux"}}}}}});
    port_ = server_->port();
  }
  void StartReporting() {
    std::ofstream(directory_.Path("kubeconfig"))
        << "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],\n"
           " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:"
        << port_ << "'}}], users: [{name: u, user: {}}]}\n";
    cluster_enabled_ = "auto";
    StartBroker({"--cluster-kubeconfig=" + directory_.Path("kubeconfig"), "--node-name=node-1"});
  }
  void SetHealthy(bool healthy) {
    device_view::DeviceReport report;
    report.id = "npu-0";
    report.hardware.chip_name = "910B3";
    report.healthy = healthy;
    report.reason = healthy ? "" : "HBM: double-bit error";
    publisher_.SetDriver("25.2.0", "", true);
    publisher_.SetDevices({report});
    publisher_.Publish();
  }
  void ServeView() {
    auto view = device_view::DeviceViewServer::Serve(view_socket_, publisher_);
    ASSERT_TRUE(view.ok()) << view.status().message();
    view_ = std::move(*view);
  }
  std::string Label(const std::string& name) {
    return server_->Find(kNode)->at("metadata").at("labels").value("npu-ipc.io/" + name, "");
  }
  bool WaitForEvent(const std::string& reason) {
    return server_->WaitUntil([&] {
      for (const json& event : server_->All(cluster::kEvents)) {
        if (event["reason"] == reason) return true;
      }
      return false;
    });
  }

  uint16_t port_ = 1;  // nobody serves it
  device_view::StatePublisher publisher_;
  std::unique_ptr<FakeApiServer> server_;
  std::unique_ptr<device_view::DeviceViewServer> view_;
};

TEST_F(BrokerClusterTest, LabelsTheNodeAndTellsOfADeviceThatFails) {
  StartServer();
  SetHealthy(true);
  ServeView();
  StartReporting();
  ASSERT_TRUE(WaitForMetric("node_labels_current 1"));
  EXPECT_EQ(Label("npu.chip"), "910B3");
  EXPECT_EQ(Label("npu.count"), "1");
  EXPECT_EQ(Label("driver.version"), "25.2.0");
  EXPECT_TRUE(server_->All(cluster::kEvents).empty());
  SetHealthy(false);
  ASSERT_TRUE(WaitForEvent("DeviceUnhealthy"));
  const json event = server_->All(cluster::kEvents).front();
  EXPECT_EQ(event["involvedObject"]["name"], "node-1");
  EXPECT_THAT(event["message"].get<std::string>(), HasSubstr("HBM: double-bit error"));
  for (const FakeRequest& request : server_->Requests("patch")) {
    EXPECT_EQ(request.path, "/api/v1/nodes/node-1");
  }
  // It has pods.file, too.
  EXPECT_TRUE(server_->Requests("list").empty());
  EXPECT_THAT(Get("/readyz").second, HasSubstr("note: pods: those of pods.file " + pods_file_));
}

TEST_F(BrokerClusterTest, SaysWhyANodeHasNoNpu) {
  StartServer();
  publisher_.SetDriver("", "the driver lists no NPU on this node", true);
  publisher_.Publish();
  ServeView();
  StartReporting();
  ASSERT_TRUE(WaitForEvent("NoDevices"));
  ASSERT_TRUE(WaitForMetric("node_labels_current 1"));
  EXPECT_EQ(Label("npu.count"), "0");
}

TEST_F(BrokerClusterTest, TellsTheOwnerOfAPodWhatItsAnnotationsLack) {
  const PodRecord pod = AddPod("trainer", "");
  const auto client = AddProcess(pod);
  StartServer();
  StartReporting();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client->Connect(socket_));
    Send(*client, Hello());
    EXPECT_EQ(ReceiveRefused(*client).status, Status::kNoGroup);
  }
  ASSERT_TRUE(WaitForEvent("ShareRefused"));
  const std::vector<json> events = server_->All(cluster::kEvents);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["involvedObject"]["uid"], pod.uid);
  EXPECT_THAT(events[0]["message"].get<std::string>(), HasSubstr("npu-ipc.io/group"));
}

TEST_F(BrokerClusterTest, ServesWithoutAnApiServerAndEndsAtOnce) {
  StartReporting();
  EXPECT_EQ(Get("/readyz").first, 200);
  const auto client = AddClient(AddPod("trainer", "weights"));
  SetHealthy(true);
  ServeView();
  ASSERT_TRUE(WaitUntil([&] {
    const std::string metrics = Get("/metrics").second;
    return metrics.find("npu_ipc_device_view_up 1\n") != std::string::npos &&
           metrics.find("npu_ipc_broker_api_errors_total 0\n") == std::string::npos;
  }));
  EXPECT_THAT(Get("/metrics").second, HasSubstr("npu_ipc_broker_node_labels_current 0\n"));
  EXPECT_TRUE(WaitUntil(
      [&] { return Get("/readyz").second.find("ready\nnote: cluster: ") != std::string::npos; }));
  Send(*client, Publish("rank-0"));
  Receive<wire::Published>(*client, wire::MessageType::kPublished);
  broker_->Signal(SIGTERM);
  const Result<int> exit_code = broker_->Wait();
  ASSERT_TRUE(exit_code.ok());
  EXPECT_EQ(*exit_code, 0);
}

TEST_F(BrokerClusterTest, NamesAKubeconfigThatCannotBeUsed) {
  EXPECT_EQ(
      RunBroker({"--socket-path=" + socket_, "--pods-file=" + pods_file_,
                 "--http-listen-address=off", "--cluster-kubeconfig=" + directory_.Path("none")}),
      1);
  EXPECT_THAT(Log(), HasSubstr("cluster: "));
  EXPECT_THAT(Log(), HasSubstr(directory_.Path("none")));
}

}  // namespace
}  // namespace npu_ipc::broker
