// A broker that goes, comes back, is there twice, or is talked to by those who cannot talk.
#include <signal.h>

#include <filesystem>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class BrokerRestart : public NodeTest {
 protected:
  void EndBroker(int signal, int exit_code) {
    node().broker().Signal(signal);
    const Result<int> ended = node().broker().Wait();
    ASSERT_TRUE(ended.ok()) << ended.status().message();
    EXPECT_EQ(*ended, exit_code);
  }
  void StartBrokerAgain() {
    const Status started = node().StartBroker();
    ASSERT_TRUE(started.ok()) << started.message();
  }
};

TEST_F(BrokerRestart, ASecondBrokerLeavesTheFirstAlone) {
  ChildProcess::Options options;
  options.arguments = node().BrokerCommand(node().socket_path());
  options.error_file = "/run/npu/second.log";
  Result<ChildProcess> second = ChildProcess::Start(options);
  ASSERT_TRUE(second.ok());
  const Result<int> code = second->Wait();
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(*code, 1);
  EXPECT_THAT(node().Log("second"), HasSubstr(node().socket_path()));
  EXPECT_THAT(StartMember("member", "weights", 0).Do("whoami"), IsOk());
}

TEST_F(BrokerRestart, ReplacesTheSocketOfADeadBroker) {
  EndBroker(SIGKILL, 128 + SIGKILL);
  EXPECT_TRUE(std::filesystem::exists(node().socket_path()));
  StartBrokerAgain();
  EXPECT_THAT(StartMember("member", "weights", 0).Do("whoami"), IsOk());
}

TEST_F(BrokerRestart, EndsWellWhenTold) {
  RemoteParty member = StartMember("member", "weights", 0);
  Publish(member, "shard", 1);
  EXPECT_EQ(BrokerSays("/healthz"), "ok\n");
  EXPECT_THAT(BrokerSays("/readyz"), StartsWith("ready\n"));
  EndBroker(SIGTERM, 0);
  EXPECT_FALSE(std::filesystem::exists(node().socket_path()));
  EXPECT_EQ(member.Do("event 30000")["event"], "region-lost");
  EXPECT_EQ(member.Do("event 30000")["event"], "disconnected");
}

TEST_F(BrokerRestart, CostsNothingThatIsMapped) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "old", 100);
  EXPECT_THAT(importer.Do("attach old 10000"), IsOk());
  EndBroker(SIGKILL, 128 + SIGKILL);
  EXPECT_EQ(importer.Do("event 30000")["event"], "disconnected");
  const Answer lost = exporter.Do("event 30000");
  EXPECT_EQ(lost["event"], "region-lost");
  EXPECT_EQ(lost["name"], "old");
  StartBrokerAgain();

  EXPECT_EQ(importer.Do("info old")["state"], "live");
  EXPECT_THAT(importer.Do("read old"), IsPattern(100));
  // The same clients connect again by themselves.
  Publish(exporter, "new", 200);
  EXPECT_THAT(importer.Do("attach new 10000"), IsOk());
  EXPECT_THAT(importer.Do("read new"), IsPattern(200));

  // The new broker does not know who holds the old region, and says so.
  EXPECT_THAT(exporter.Do("withdraw old 0"), IsRefused("NPU_IPC_DISCONNECTED", HasSubstr("force")));
  EXPECT_THAT(importer.Do("read old"), IsPattern(100));
  EXPECT_THAT(importer.Do("detach old"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw old 0 force"), IsOk());
  EXPECT_THAT(exporter.Do("publish old"), IsOk());
  EXPECT_THAT(importer.Do("attach old 10000"), IsOk());
  EXPECT_THAT(importer.Do("read old"), IsPattern(100));
}

TEST_F(BrokerRestart, IsWaitedThroughByAnAttach) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  importer.Tell("attach shard 60000");
  ASSERT_TRUE(MetricBecomes("npu_ipc_broker_waiting_attaches", 1));
  EndBroker(SIGTERM, 0);
  StartBrokerAgain();
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Hear(), IsOk());
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
}

TEST_F(BrokerRestart, NonsenseFromOnePodDisturbsNoOther) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  RemoteParty noise = Start(NewPod("noise", "weights"), 2);
  Publish(exporter, "shard", 100);
  exporter.Pause();
  importer.Tell("attach shard 30000");
  ASSERT_TRUE(MetricBecomes("npu_ipc_broker_waiting_attaches", 1));

  // Too short for a header; a header of version 16705.16705; more than any message may have.
  EXPECT_EQ(noise.Do("send-bytes x").line, "ok status=1 closed=yes");
  EXPECT_EQ(noise.Do("send-bytes " + std::string(64, 'A')).line, "ok status=2 closed=yes");
  EXPECT_EQ(noise.Do("send-bytes " + std::string(2000, 'A')).line, "ok status=2 closed=yes");
  exporter.Resume();
  EXPECT_THAT(importer.Hear(), IsOk());
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
}

TEST_F(BrokerRestart, OutsideTheHostsPidNamespaceItServesNobodyAndIsNotReady) {
  ChildProcess::Options options;
  options.arguments = {"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"};
  const std::string socket = "/run/npu/npu-ipc/nested.sock";
  for (const std::string& word : node().BrokerCommand(socket)) options.arguments.push_back(word);
  options.error_file = "/run/npu/nested.log";
  Result<ChildProcess> nested = ChildProcess::Start(options);
  ASSERT_TRUE(nested.ok()) << nested.status().message();
  ASSERT_TRUE(WaitUntil([&] { return node().BrokerHttpPort("nested").ok(); }))
      << node().Log("nested");
  EXPECT_THAT(BrokerSays("/readyz", "nested"), StartsWith("ready\n"));

  RemoteParty party = Start(NewPod("member", "weights"), 0);
  EXPECT_THAT(party.Do("open /run/npu-ipc/nested.sock"),
              IsRefused("NPU_IPC_INTERNAL", HasSubstr("hostPID: true")));
  EXPECT_THAT(BrokerSays("/readyz", "nested"),
              AllOf(HasSubstr("identity"), HasSubstr("no pid"), HasSubstr("hostPID: true")));
  EXPECT_THAT(BrokerSays("/readyz"), StartsWith("ready\n"));
  EXPECT_THAT(party.Do("open"), IsOk());
}

}  // namespace
}  // namespace npu_ipc
