// A real broker, pods in cgroups as the kubelet names them, and clients in them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "plugin/broker/messages.h"
#include "tests/fixtures/child_process.h"
#include "tests/fixtures/pod.h"
#include "tests/fixtures/temporary_directory.h"
#include "tests/unit/plugin/broker/client_process.h"

namespace npu_ipc::broker {

// 64 characters, which the log must never hold.
inline const std::string kSecretKey = "5ec2e7" + std::string(58, '0');

class BrokerProcessTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Starts the broker and waits until it serves. `flags` are added to the usual ones; `run_by` is a
  // command line that it is appended to.
  void StartBroker(const std::vector<std::string>& flags = {},
                   std::vector<std::string> run_by = {});
  // Starts it and waits for its end; returns its exit code.
  int RunBroker(const std::vector<std::string>& flags);

  // A pod of the namespace "team"; an empty `group` leaves the annotation out.
  PodRecord AddPod(const std::string& name, const std::string& group);
  void WritePods();
  // A process in a new container of the pod, or in the cgroup `below` that container's.
  std::shared_ptr<ClientProcess> AddProcess(const PodRecord& pod, const std::string& below = "");
  // Puts a process into a new container of the pod, or into the cgroup `below` that container's.
  void Enter(ClientProcess& process, const PodRecord& pod, const std::string& below = "");
  // As AddProcess, connected, past its Hello.
  std::shared_ptr<ClientProcess> AddClient(const PodRecord& pod);

  template <class M>
  void Send(ClientProcess& client, const M& message) {
    client.Send(&message, sizeof(message));
  }
  // The next message to the client, which must be an M of this type.
  template <class M>
  M Receive(ClientProcess& client, wire::MessageType type) {
    M message = {};
    const std::vector<char> packet = client.Receive();
    if (packet.size() >= sizeof(wire::MessageHeader)) {
      memcpy(&message, packet.data(), std::min(sizeof(M), packet.size()));
    }
    if (message.header.type != type && message.header.type == wire::MessageType::kRefused) {
      wire::Refused refused = {};
      memcpy(&refused, packet.data(), std::min(sizeof(refused), packet.size()));
      ADD_FAILURE() << "refused: " << refused.reason;
    }
    EXPECT_EQ(message.header.type, type);
    EXPECT_EQ(packet.size(), sizeof(M));
    return message;
  }
  wire::Refused ReceiveRefused(ClientProcess& client) {
    return Receive<wire::Refused>(client, wire::MessageType::kRefused);
  }
  static bool Closed(ClientProcess& client) { return client.WaitForClose(); }

  static wire::Hello Hello(uint64_t request_id = 1);
  static wire::Publish Publish(const std::string& name, uint32_t device = 0);
  static wire::Attach Attach(const std::string& name, uint32_t wait_milliseconds,
                             uint32_t device = 0);
  static wire::Admitted Admitted(const wire::Admit& admit);

  std::string Log() const;
  bool WaitForLog(const std::string& text) const;
  // Status and body of a GET, or 0.
  std::pair<int, std::string> Get(const std::string& path) const;
  bool WaitForMetric(const std::string& line) const;

  const TemporaryDirectory directory_;
  std::string socket_ = directory_.Path("broker.sock");
  std::string view_socket_ = directory_.Path("device-view.sock");  // nobody serves it
  const TemporaryDirectory admin_directory_;                       // not where the other socket is
  std::string admin_socket_ = admin_directory_.Path("admin/admin.sock");
  std::string cluster_enabled_ = "false";
  const std::string pods_file_ = directory_.Path("pods.json");
  const std::string log_file_ = directory_.Path("log");
  std::string cgroup_;  // of the test's own
  std::vector<PodRecord> pods_;
  std::map<std::string, std::string> container_ids_;     // of the last container, by pod uid
  std::vector<std::shared_ptr<ClientProcess>> clients_;  // all that AddProcess() made
  std::optional<ChildProcess> broker_;
  int http_port_ = 0;
  std::function<void()> before_broker_;  // in the broker's process, before it is executed
  bool offers_share_resource_ = false;   // whether StartBroker() leaves share.ids alone
  bool has_pods_file_ = true;            // whether StartBroker() sets pods.file
};

}  // namespace npu_ipc::broker
