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
  // The next event of that kind.
  static Answer Awaited(RemoteParty& party, const std::string& kind) {
    for (;;) {
      const Answer event = party.Do("event 30000");
      if (!event.ok() || event["event"] == kind) return event;
    }
  }
  static Answer NextEventBesides(RemoteParty& party, const std::string& kind) {
    const Answer event = party.Do("event 30000");
    return event["event"] == kind ? party.Do("event 30000") : event;
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
  EXPECT_EQ(member.Do("event 30000")["event"], "disconnected");
}

TEST_F(BrokerRestart, CostsNothingThatIsMapped) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "old", 100);
  EXPECT_THAT(importer.Do("attach old 10000"), IsOk());
  EndBroker(SIGKILL, 128 + SIGKILL);
  EXPECT_EQ(importer.Do("event 30000")["event"], "disconnected");
  EXPECT_EQ(exporter.Do("event 30000")["event"], "disconnected");
  EXPECT_THAT(importer.Do("read old"), IsPattern(100));
  StartBrokerAgain();

  // Both come back by themselves, and the broker knows what they share.
  EXPECT_EQ(importer.Do("event 30000")["event"], "reconnected");
  EXPECT_EQ(exporter.Do("event 30000")["event"], "reconnected");
  EXPECT_EQ(importer.Do("info old")["state"], "live");
  EXPECT_THAT(importer.Do("read old"), IsPattern(100));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 1));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));

  // Whoever is new is let in, and a withdraw waits for whoever was there before.
  RemoteParty late = StartMember("late", "weights:importer", 2);
  EXPECT_THAT(late.Do("attach old 10000"), IsOk());
  EXPECT_THAT(late.Do("read old"), IsPattern(100));
  EXPECT_THAT(late.Do("detach old"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw old 0"),
              IsRefused("NPU_IPC_STILL_HELD", HasSubstr("team-a/importer (host pid " +
                                                        std::to_string(importer.host_pid()))));
  EXPECT_EQ(importer.Do("event 30000")["event"], "withdrawing");
  EXPECT_THAT(importer.Do("detach old"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw old 30000"), IsOk());
  EXPECT_THAT(exporter.Do("publish old"), IsOk());
  EXPECT_THAT(importer.Do("attach old 10000"), IsOk());
  EXPECT_THAT(importer.Do("read old"), IsPattern(100));
}

TEST_F(BrokerRestart, TellsAnImporterOfAnExporterThatEndedMeanwhile) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  EndBroker(SIGKILL, 128 + SIGKILL);
  EXPECT_EQ(importer.Do("event 30000")["event"], "disconnected");
  exporter.Kill();
  StartBrokerAgain();
  EXPECT_EQ(Awaited(importer, "exporter-gone")["name"], "shard");
  EXPECT_EQ(importer.Do("info shard")["state"], "exporter-gone");
  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 0));
}

TEST_F(BrokerRestart, WaitsForAnExporterThatIsLate) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  exporter.Pause();
  EndBroker(SIGKILL, 128 + SIGKILL);
  EXPECT_EQ(importer.Do("event 30000")["event"], "disconnected");
  StartBrokerAgain();
  EXPECT_EQ(importer.Do("event 30000")["event"], "reconnected");
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));
  exporter.Resume();
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 1));
  EXPECT_EQ(importer.Do("info shard")["state"], "live");
  EXPECT_THAT(exporter.Do("withdraw shard 0"),
              IsRefused("NPU_IPC_STILL_HELD", HasSubstr("team-a/importer")));
  // From now on its end is told.
  exporter.Kill();
  EXPECT_EQ(Awaited(importer, "exporter-gone")["name"], "shard");
}

TEST_F(BrokerRestart, AWithdrawWaitsForImportersThatAreLate) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  importer.Pause();
  EndBroker(SIGKILL, 128 + SIGKILL);
  StartBrokerAgain();
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 1));
  EXPECT_THAT(exporter.Do("withdraw shard 0"),
              IsRefused("NPU_IPC_STILL_HELD", HasSubstr("restarted")));
  importer.Resume();
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));
  EXPECT_THAT(exporter.Do("withdraw shard 0"),
              IsRefused("NPU_IPC_STILL_HELD", HasSubstr("team-a/importer")));
}

TEST_F(BrokerRestart, ANameIsKeptForAnExporterThatIsLate) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  const uint64_t generation = Publish(exporter, "shard", 100);
  exporter.Pause();
  EndBroker(SIGKILL, 128 + SIGKILL);
  StartBrokerAgain();
  RemoteParty other = StartMember("other", "weights:exporter", 2);
  EXPECT_THAT(other.Do("malloc shard 4194304"), IsOk());
  EXPECT_THAT(other.Do("publish shard"),
              IsRefused("NPU_IPC_NAME_TAKEN", HasSubstr("before the broker was restarted")));
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  EXPECT_THAT(importer.Do("attach shard 2000"),
              IsRefused("NPU_IPC_TIMED_OUT", HasSubstr("has not come back")));
  importer.Tell("attach shard 30000");
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_waiting_attaches", 1));
  exporter.Resume();
  EXPECT_EQ(GenerationOf(importer.Hear()), generation);
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
  exporter.Kill();
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_regions", 0));
  EXPECT_GT(GenerationOf(other.Do("publish shard")), generation);
}

TEST_F(BrokerRestart, ANameThatIsTakenMeanwhileIsLostAndItsImportersKeepWhatTheyHave) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  const uint64_t generation = Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  exporter.Pause();
  EndBroker(SIGKILL, 128 + SIGKILL);
  EXPECT_GT(std::filesystem::remove_all("/run/npu/state"), 0U);  // else the name would be kept
  StartBrokerAgain();
  RemoteParty other = StartMember("other", "weights:exporter", 2);
  EXPECT_GT(Publish(other, "shard", 200), generation);
  exporter.Resume();
  EXPECT_EQ(NextEventBesides(exporter, "disconnected")["event"], "region-lost");
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
  EXPECT_THAT(exporter.Do("withdraw shard 0"),
              IsRefused("NPU_IPC_STILL_HELD", HasSubstr("team-a/importer")));
}

TEST_F(BrokerRestart, WhatIsNotAllowedAnyMoreIsKnownAndRevoked) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  RemoteParty stripped = StartMember("stripped", "weights:importer", 2);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(stripped.Do("attach shard 10000"), IsOk());
  EndBroker(SIGKILL, 128 + SIGKILL);
  Annotate(importer, "npu-ipc.io/group", "other");
  Annotate(stripped, "npu-ipc.io/group", "");
  StartBrokerAgain();
  EXPECT_EQ(Awaited(importer, "revoked")["name"], "shard");
  EXPECT_EQ(Awaited(stripped, "revoked")["name"], "shard");
  EXPECT_EQ(importer.Do("info shard")["state"], "revoked");
  EXPECT_FALSE(importer.Do("attach shard 100").ok());
  EXPECT_THAT(exporter.Do("withdraw shard 0"),
              IsRefused("NPU_IPC_STILL_HELD",
                        AllOf(HasSubstr("team-a/importer"), HasSubstr("team-a/stripped"))));
  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_THAT(stripped.Do("detach shard"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw shard 30000"), IsOk());
}

TEST_F(BrokerRestart, ReleasesPeerAccessThatNobodyUses) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty stays = StartMember("stays", "weights:importer", 1);
  RemoteParty leaves = StartMember("leaves", "weights:importer", 2);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(stays.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(leaves.Do("attach shard 10000"), IsOk());
  EndBroker(SIGKILL, 128 + SIGKILL);
  EXPECT_EQ(leaves.Do("event 30000")["event"], "disconnected");
  EXPECT_THAT(leaves.Do("detach shard"), IsOk());
  EXPECT_EQ(leaves.Do("peer-status 0 0")["enabled"], "1") << "nobody said that it is not needed";
  StartBrokerAgain();
  EXPECT_EQ(leaves.Do("event 30000")["event"], "reconnected");
  EXPECT_TRUE(WaitUntil([&] { return leaves.Do("peer-status 0 0")["enabled"] == "0"; }));
  EXPECT_EQ(stays.Do("peer-status 0 0")["enabled"], "1");
  EXPECT_THAT(stays.Do("read shard"), IsPattern(100));
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
