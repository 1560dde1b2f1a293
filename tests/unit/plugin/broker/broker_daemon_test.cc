// The daemon as an operator meets it: its start, its files, its probes, its end.
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/unit/plugin/broker/broker_harness.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class BrokerDaemonTest : public BrokerProcessTest {
 protected:
  int RunWith(const std::string& socket, const std::string& pods) {
    return RunBroker(
        {"--socket-path=" + socket, "--pods-file=" + pods, "--http-listen-address=off"});
  }
};

TEST_F(BrokerDaemonTest, MakesItsSocketForEveryUserInADirectoryThatNobodyLists) {
  socket_ = directory_.Path("made/broker.sock");
  StartBroker();
  struct stat made = {};
  ASSERT_EQ(::stat(socket_.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777, 0666U);
  ASSERT_EQ(::stat(directory_.Path("made").c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 07777, 0711U);
}

TEST_F(BrokerDaemonTest, ASocketPathThatIsTooLongIsNamedWithItsLimit) {
  EXPECT_EQ(RunWith(directory_.Path(std::string(200, 'x')), pods_file_), 1);
  EXPECT_THAT(Log(), HasSubstr("socket.path"));
  EXPECT_THAT(Log(), HasSubstr("has 1 to 107"));
}

TEST_F(BrokerDaemonTest, ASecondBrokerEndsAndTheFirstGoesOn) {
  StartBroker();
  EXPECT_EQ(RunWith(socket_, pods_file_), 1);
  EXPECT_TRUE(WaitForLog("another process is already serving " + socket_));
  AddClient(AddPod("trainer", "weights"));
}

TEST_F(BrokerDaemonTest, ReplacesTheSocketOfOneThatWasKilled) {
  StartBroker();
  broker_->Signal(SIGKILL);
  ASSERT_TRUE(broker_->Wait().ok());
  ASSERT_TRUE(std::filesystem::exists(socket_));
  StartBroker();
  AddClient(AddPod("trainer", "weights"));
}

TEST_F(BrokerDaemonTest, SettingsThatCannotBeUsedAreNamed) {
  EXPECT_EQ(RunBroker({"--http-listen-address=off"}), 2);
  EXPECT_THAT(Log(), HasSubstr("pods.file is not set"));
  EXPECT_EQ(RunWith("relative.sock", pods_file_), 2);
  EXPECT_THAT(Log(), HasSubstr("socket.path 'relative.sock' is not an absolute path"));
  EXPECT_EQ(RunWith(socket_, directory_.Path("none/pods.json")), 1);
  EXPECT_THAT(Log(), HasSubstr("pods.file: watch the directory of the pod file"));
  EXPECT_EQ(RunWith(directory_.Path("none/deeper/s"), pods_file_), 1);
  EXPECT_THAT(Log(), HasSubstr("make the directory of socket.path"));
  EXPECT_EQ(RunBroker({"--socket-path=" + socket_, "--pods-file=" + pods_file_,
                       "--http-listen-address=nonsense"}),
            1);
  EXPECT_THAT(Log(), HasSubstr("http.listenAddress: HTTP address 'nonsense'"));
}

TEST_F(BrokerDaemonTest, AnswersProbesAndMetrics) {
  StartBroker();
  EXPECT_EQ(Get("/healthz"), (std::pair<int, std::string>(200, "ok\n")));
  const auto [status, body] = Get("/readyz");
  EXPECT_EQ(status, 200);
  EXPECT_TRUE(body.starts_with("ready\n")) << body;
  const std::string metrics = Get("/metrics").second;
  EXPECT_THAT(metrics, HasSubstr("# HELP npu_ipc_broker_clients "));
  EXPECT_THAT(metrics, HasSubstr("npu_ipc_broker_build_info{version="));
  AddPod("trainer", "weights");
  EXPECT_TRUE(WaitForMetric("pods 1"));
}

TEST_F(BrokerDaemonTest, AMalformedPodFileLosesNobody) {
  StartBroker();
  const PodRecord pod = AddPod("trainer", "weights");
  const auto client = AddClient(pod);
  std::ofstream(pods_file_) << "{\"kind\": \"List\", \"items\": [";
  ASSERT_TRUE(WaitForMetric("pod_directory_ready 0"));
  const auto [status, body] = Get("/readyz");
  EXPECT_EQ(status, 503);
  EXPECT_THAT(body, HasSubstr("pods: pod file " + pods_file_));
  EXPECT_TRUE(WaitForLog("keeping the 1 pods"));
  Send(*client, Publish("rank-0"));
  Receive<wire::Published>(*client, MessageType::kPublished);
  AddClient(pod);
  WritePods();
  EXPECT_TRUE(WaitForMetric("pod_directory_ready 1"));
  EXPECT_EQ(Get("/readyz").first, 200);
}

TEST_F(BrokerDaemonTest, ReadsThePodsAgainAtHangup) {
  StartBroker();
  broker_->Signal(SIGHUP);
  EXPECT_TRUE(WaitForLog("SIGHUP: reading the settings and the pods again"));
  EXPECT_EQ(Get("/readyz").first, 200);
}

TEST_F(BrokerDaemonTest, TakesWhatCanChangeFromItsConfigAtHangup) {
  const std::string config = directory_.Path("config.json");
  std::ofstream(config) << R"({"client": {"maxRegions": 1}})";
  StartBroker({"--config=" + config, "--node-name=node-1"});
  const auto client = AddClient(AddPod("trainer", "weights"));
  Send(*client, Publish("first"));
  Receive<wire::Published>(*client, MessageType::kPublished);
  Send(*client, Publish("second"));
  EXPECT_EQ(ReceiveRefused(*client).status, Status::kLimit);

  std::ofstream(config) << R"({"share": {"resourceName": "other.io/share"},
                               "nodes": {"node-1": {"client": {"maxRegions": 2}}}})";
  broker_->Signal(SIGHUP);
  EXPECT_TRUE(WaitForLog("client.maxRegions: 1 -> 2"));
  EXPECT_TRUE(WaitForLog(R"(share.resourceName: "npu-ipc.io/share" -> "other.io/share")"));
  Send(*client, Publish("second"));
  Receive<wire::Published>(*client, MessageType::kPublished);
}

TEST_F(BrokerDaemonTest, KeepsItsSettingsWhenTheConfigIsMalformedAtHangup) {
  const std::string config = directory_.Path("config.json");
  std::ofstream(config) << R"({"client": {"maxRegions": 1}})";
  StartBroker({"--config=" + config});
  std::ofstream(config) << R"({"client": {"maxRegions": "many"}})";
  broker_->Signal(SIGHUP);
  EXPECT_TRUE(WaitForLog("the settings stay as they are: reason="));
  EXPECT_THAT(Log(), HasSubstr("client.maxRegions"));
  const auto client = AddClient(AddPod("trainer", "weights"));
  Send(*client, Publish("first"));
  Receive<wire::Published>(*client, MessageType::kPublished);
  Send(*client, Publish("second"));
  EXPECT_EQ(ReceiveRefused(*client).status, Status::kLimit);
}

TEST_F(BrokerDaemonTest, TellsItsClientsWhenItEnds) {
  StartBroker();
  const auto client = AddClient(AddPod("trainer", "weights"));
  broker_->Signal(SIGTERM);
  EXPECT_EQ(ReceiveRefused(*client).status, Status::kShuttingDown);
  EXPECT_TRUE(Closed(*client));
  const Result<int> exit_code = broker_->Wait();
  ASSERT_TRUE(exit_code.ok());
  EXPECT_EQ(*exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

}  // namespace
}  // namespace npu_ipc::broker
