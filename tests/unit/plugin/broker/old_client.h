// A rolling upgrade: a broker, and processes whose library is older than it.
#pragma once

#include <signal.h>
#include <string.h>

#include <memory>
#include <vector>

#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {

class OldClientTest : public BrokerProcessTest {
 protected:
  void SetUp() override {
    BrokerProcessTest::SetUp();
    StartBroker();
    exporter_pod_ = AddPod("exporter", "weights:exporter");
    importer_pod_ = AddPod("importer", "weights:importer");
    exporter_ = AddProcess(exporter_pod_);
    importer_ = AddProcess(importer_pod_);
  }

  template <class M, class Type>
  static M Make(Type type, uint64_t request_id, uint16_t minor = 0) {
    M message = {};
    message.header = {1, minor, type, sizeof(M), 0, request_id};
    return message;
  }
  // As an old library takes it: by type and size, of major version 1.
  template <class M, class Type>
  M Take(ClientProcess& client, Type type) {
    M message = {};
    const std::vector<char> packet = client.Receive();
    EXPECT_EQ(packet.size(), sizeof(M));
    if (packet.size() != sizeof(M)) return message;
    memcpy(&message, packet.data(), sizeof(M));
    EXPECT_EQ(message.header.version_major, 1);
    EXPECT_EQ(message.header.type, type);
    EXPECT_EQ(message.header.bytes, sizeof(M));
    return message;
  }
  void RestartBroker() {
    broker_->Signal(SIGKILL);
    ASSERT_TRUE(broker_->Wait().ok());
    EXPECT_TRUE(Closed(*exporter_));
    EXPECT_TRUE(Closed(*importer_));
    StartBroker();
  }

  PodRecord exporter_pod_;
  PodRecord importer_pod_;
  std::shared_ptr<ClientProcess> exporter_;
  std::shared_ptr<ClientProcess> importer_;
};

}  // namespace npu_ipc::broker
