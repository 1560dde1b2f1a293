// Processes that end, or stop answering, in the middle of it.
#include <optional>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ProcessEnd : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    exporter_.emplace(StartMember("exporter", "weights:exporter", 0));
    importer_.emplace(StartMember("importer", "weights:importer", 1));
    generation_ = Publish(exporter(), "shard", 100);
  }
  void TearDown() override {
    importer_.reset();
    exporter_.reset();
    NodeTest::TearDown();
  }

  RemoteParty& exporter() { return *exporter_; }
  RemoteParty& importer() { return *importer_; }

  // The exporter is stopped, and the broker waits for its answer about the importer.
  void AttachToAStoppedExporter(const std::string& wait_ms) {
    exporter().Pause();
    importer().Tell("attach shard " + wait_ms);
    ASSERT_TRUE(MetricBecomes("npu_ipc_broker_waiting_attaches", 1));
  }

  std::optional<RemoteParty> exporter_;
  std::optional<RemoteParty> importer_;
  uint64_t generation_ = 0;
};

TEST_F(ProcessEnd, AnExportersDeathIsToldAndItsNameIsFree) {
  EXPECT_EQ(GenerationOf(importer().Do("attach shard 10000")), generation_);
  EXPECT_THAT(importer().Do("malloc local 4194304"), IsOk());
  EXPECT_THAT(importer().Do("write local 7"), IsOk());
  const std::string key = ExportedKeys().front();
  ASSERT_NE(AuditFile(key).find(";valid=1;"), std::string::npos);

  exporter().Kill();
  const Answer event = importer().Do("event 30000");
  EXPECT_EQ(event["event"], "exporter-gone");
  EXPECT_EQ(event["name"], "shard");
  EXPECT_EQ(importer().Do("info shard")["state"], "exporter-gone");
  // The simulated driver is a process, and hears of an end when the broker does: not before.
  ASSERT_TRUE(WaitUntil([&] { return AuditFile(key).find(";valid=1;") == std::string::npos; }));
  EXPECT_THAT(importer().Do("copy shard local"), IsVendorError());
  EXPECT_THAT(importer().Do("read local"), IsPattern(7)) << "a copy that fails changes nothing";
  EXPECT_THAT(importer().Do("detach shard"), IsOk());
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 0));

  RemoteParty successor = StartMember("successor", "weights:exporter", 0);
  Publish(successor, "shard", 200);
  const Answer again = importer().Do("attach shard 10000");
  EXPECT_EQ(GenerationOf(again), generation_ + 1);
  EXPECT_EQ(again["exporter"], "team-a/successor");
  EXPECT_THAT(importer().Do("read shard"), IsPattern(200));
}

TEST_F(ProcessEnd, AnExporterThatEndsDuringAnAttachIsNamedAsTheReason) {
  AttachToAStoppedExporter("1500");
  exporter().Kill();
  EXPECT_THAT(importer().Hear(),
              IsRefused("NPU_IPC_EXPORTER_GONE", AllOf(HasSubstr("'shard'"), HasSubstr("ended"))));
}

TEST_F(ProcessEnd, AnAttachWhoseExporterEndsIsServedByTheNextOne) {
  AttachToAStoppedExporter("30000");
  exporter().Kill();
  RemoteParty successor = StartMember("successor", "weights:exporter", 0);
  Publish(successor, "shard", 200);
  const Answer attached = importer().Hear();
  EXPECT_EQ(attached["exporter"], "team-a/successor");
  EXPECT_EQ(GenerationOf(attached), generation_ + 1);
  EXPECT_THAT(importer().Do("read shard"), IsPattern(200));
}

TEST_F(ProcessEnd, AnImporterThatEndsBeforeItIsGrantedTaintsTheKey) {
  AttachToAStoppedExporter("30000");
  importer().Kill();
  ASSERT_TRUE(MetricBecomes("npu_ipc_broker_waiting_attaches", 0));
  EXPECT_EQ(Metric("npu_ipc_broker_tainted_keys_total"), 0);
  exporter().Resume();
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_tainted_keys_total", 1));
  EXPECT_EQ(Metric("npu_ipc_broker_grants"), 0);

  // Nothing is lost for the others.
  RemoteParty next = StartMember("next", "weights:importer", 2);
  EXPECT_THAT(next.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(next.Do("read shard"), IsPattern(100));
}

TEST_F(ProcessEnd, AnImportersDeathGivesBackWhatItHeld) {
  EXPECT_THAT(importer().Do("attach shard 10000"), IsOk());
  importer().Kill();
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 0));
  EXPECT_THAT(exporter().Do("withdraw shard 30000"), IsOk());
  EXPECT_THAT(exporter().Do("read shard"), IsPattern(100));
}

TEST_F(ProcessEnd, AnExporterThatDoesNotAnswerIsNamed) {
  AttachToAStoppedExporter("500");
  EXPECT_THAT(importer().Hear(), IsRefused("NPU_IPC_TIMED_OUT",
                                           AllOf(HasSubstr("'shard'"), HasSubstr("team-a/exporter"),
                                                 HasSubstr("did not whitelist this process"))));
  exporter().Resume();
  EXPECT_THAT(importer().Do("attach shard 10000"), IsOk());
  EXPECT_THAT(importer().Do("read shard"), IsPattern(100));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));
}

class ShortAdmitDeadline : public ProcessEnd {
  std::vector<std::string> BrokerFlags() const override { return {"--admit-deadline", "100ms"}; }
};

TEST_F(ShortAdmitDeadline, AnExporterThatAnswersLateIsAskedAgain) {
  AttachToAStoppedExporter("30000");
  ASSERT_TRUE(WaitUntil([&] {
    return Metric("npu_ipc_broker_whitelist_calls_total{result=\"timed_out\"}") > 0;
  })) << BrokerSays("/metrics");
  exporter().Resume();
  EXPECT_THAT(importer().Hear(), IsOk());
  EXPECT_THAT(importer().Do("read shard"), IsPattern(100));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_grants", 1));
  EXPECT_EQ(Metric("npu_ipc_broker_tainted_keys_total"), 0);
}

}  // namespace
}  // namespace npu_ipc
