// The broker beside a device plugin, which may come and go.
#include "gmock/gmock.h"
#include "plugin/device_view/device_view_server.h"
#include "plugin/device_view/state_publisher.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class BrokerDeviceViewTest : public BrokerProcessTest {
 protected:
  void ServeView() {
    auto server = device_view::DeviceViewServer::Serve(view_socket_, publisher_);
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
  }
  void SetLink(hal::LinkType type) {
    publisher_.SetLinks({{0, 1, type}});
    publisher_.Publish();
  }
  bool WaitForDeviceMetric(const std::string& line) {
    return WaitUntil([&] { return Get("/metrics").second.find(line) != std::string::npos; });
  }
  // A region on device 0, and what an attach from device 1 comes to.
  std::shared_ptr<ClientProcess> AddExporter(const PodRecord& pod) {
    auto exporter = AddClient(pod);
    Send(*exporter, Publish("rank-0", 0));
    Receive<wire::Published>(*exporter, MessageType::kPublished);
    return exporter;
  }

  device_view::StatePublisher publisher_;
  std::unique_ptr<device_view::DeviceViewServer> server_;
};

TEST_F(BrokerDeviceViewTest, MergesTheDevicesMetricsAndLivesWithoutThem) {
  StartBroker();
  EXPECT_TRUE(WaitForDeviceMetric("npu_ipc_device_view_up 0\n"));
  EXPECT_TRUE(WaitUntil([&] {
    const auto [status, body] = Get("/readyz");
    return status == 200 &&
           body.find("note: deviceView: the device plugin at " + view_socket_) != std::string::npos;
  }));
  publisher_.SetDriver("24.1.rc3", "", true);
  publisher_.Publish();
  ServeView();
  EXPECT_TRUE(WaitForDeviceMetric("npu_ipc_device_view_up 1\n"));
  EXPECT_THAT(Get("/metrics").second,
              HasSubstr("npu_ipc_device_driver_info{version=\"24.1.rc3\"} 1\n"));
  EXPECT_THAT(Get("/metrics").second, HasSubstr("npu_ipc_broker_clients "));
  server_.reset();
  EXPECT_TRUE(WaitForDeviceMetric("npu_ipc_device_view_up 0\n"));
  EXPECT_THAT(Get("/metrics").second,
              HasSubstr("npu_ipc_device_driver_info{version=\"24.1.rc3\"} 1\n"))
      << "the last that was seen is forgotten";
  AddClient(AddPod("trainer", "weights"));
}

TEST_F(BrokerDeviceViewTest, RefusesPairsThatCannotReachEachOtherAlsoAfterTheViewHasGone) {
  SetLink(hal::LinkType::kPciHost);
  ServeView();
  StartBroker();
  ASSERT_TRUE(WaitForDeviceMetric("npu_ipc_device_view_up 1\n"));
  server_.reset();
  ASSERT_TRUE(WaitForDeviceMetric("npu_ipc_device_view_up 0\n"));
  const PodRecord pod = AddPod("trainer", "weights");
  const auto exporter = AddExporter(pod);
  const auto importer = AddClient(pod);
  Send(*importer, Attach("rank-0", 1000, 1));
  const wire::Refused refused = ReceiveRefused(*importer);
  EXPECT_EQ(refused.status, Status::kUnreachable);
  EXPECT_THAT(refused.reason, HasSubstr("device 0 of the exporter and device 1"));
}

TEST_F(BrokerDeviceViewTest, AdmitsWhereNobodySays) {
  StartBroker();
  const PodRecord pod = AddPod("trainer", "weights");
  const auto exporter = AddExporter(pod);
  const auto importer = AddClient(pod);
  Send(*importer, Attach("rank-0", 1000, 1));
  EXPECT_EQ(Receive<wire::Admit>(*exporter, MessageType::kAdmit).enable_peer_access, 1U);
}

TEST_F(BrokerDeviceViewTest, AsksNobodyWhereItIsOff) {
  view_socket_ = "off";
  StartBroker();
  EXPECT_EQ(Get("/metrics").second.find("npu_ipc_device_view_up"), std::string::npos);
  EXPECT_EQ(Get("/readyz").second, "ready\n");
}

}  // namespace
}  // namespace npu_ipc::broker
