// What annotations allow, and what happens when they change under processes that share.
#include <fstream>

#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::_;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr char kNotAdmitted[] = "507899";

class Rights : public NodeTest {
 protected:
  std::vector<std::string> BrokerFlags() const override {
    return {"--config=" + Config(true), "--share-rotate-drain=1s"};
  }

  static std::string Config(bool cross_namespace) {
    const std::string path = "/run/broker.json";  // of the node box
    std::ofstream(path) << "{\"policy\": {\"crossNamespace\": "
                        << (cross_namespace ? "true" : "false")
                        << ", \"deniedNamespaces\": [\"banned\"]}}";
    return path;
  }

  PodRecord Pod(const std::string& pod_namespace, const std::string& name,
                std::map<std::string, std::string> annotations) {
    PodRecord pod = {pod_namespace, name, RandomUid(), {}};
    for (auto& [key, value] : annotations) pod.annotations["npu-ipc.io/" + key] = value;
    TellBroker(pod);
    return pod;
  }
  RemoteParty Member(const std::string& pod_namespace, const std::string& name,
                     const std::map<std::string, std::string>& annotations, int device) {
    return StartMember(Pod(pod_namespace, name, annotations), device);
  }
  std::string Event(RemoteParty& party) { return party.Do("event 30000")["event"]; }
};

TEST_F(Rights, SeveralGroupsEachWithItsRole) {
  RemoteParty both = Member("team-a", "both", {{"group", "in:importer,out:exporter"}}, 0);
  RemoteParty peer = Member("team-a", "peer", {{"group", "in,out"}}, 1);
  EXPECT_EQ(both.Do("whoami")["groups"], "in:importer,out:exporter");
  EXPECT_THAT(both.Do("malloc shard 4194304"), IsOk());
  EXPECT_THAT(both.Do("publish shard"), IsRefused("NPU_IPC_NOT_IN_GROUP", HasSubstr("in, out")));
  EXPECT_THAT(both.Do("publish shard in"), IsRefused("NPU_IPC_ROLE_DENIED", HasSubstr("exporter")));
  EXPECT_THAT(both.Do("publish shard out"), IsOk());
  EXPECT_THAT(peer.Do("attach shard 10000 out"), IsOk());
  EXPECT_THAT(peer.Do("attach shard 100 in"), IsRefused("NPU_IPC_TIMED_OUT", HasSubstr("/in")));
}

TEST_F(Rights, AnotherNamespaceWithBothSidesLeave) {
  RemoteParty exporter =
      Member("team-a", "exporter", {{"group", "weights"}, {"allow-namespaces", "team-b"}}, 0);
  RemoteParty guest = Member("team-b", "guest", {{"group", "team-a/weights:importer"}}, 1);
  RemoteParty stranger = Member("team-c", "stranger", {{"group", "team-a/weights"}}, 2);
  EXPECT_EQ(guest.Do("whoami")["groups"], "team-a/weights:importer");
  Publish(exporter, "shard", 100);
  EXPECT_THAT(guest.Do("attach shard 10000 team-a/weights"), IsOk());
  EXPECT_THAT(guest.Do("read shard"), IsPattern(100));
  EXPECT_EQ(guest.Do("info shard")["exporter"], "team-a/exporter");
  EXPECT_THAT(stranger.Do("attach shard 10000"),
              IsRefused("NPU_IPC_NAMESPACE_DENIED", HasSubstr("allow-namespaces")));
  EXPECT_THAT(stranger.Do("malloc mine 4194304"), IsOk());
  EXPECT_THAT(stranger.Do("publish mine"),
              IsRefused("NPU_IPC_NAMESPACE_DENIED", HasSubstr("team-c:exporter")));
  const std::string key = ExportedKeys().front();
  EXPECT_THAT(AuditedPids(key), ElementsAre(exporter.host_pid(), guest.host_pid()));

  // The owner takes its leave back.
  Annotate(exporter, "npu-ipc.io/allow-namespaces", "");
  EXPECT_EQ(Event(guest), "revoked");
  EXPECT_EQ(guest.Do("info shard")["state"], "revoked");
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_revoked_mappings", 1));
  EXPECT_THAT(guest.Do("attach shard 1000"), IsRefused("NPU_IPC_NAMESPACE_DENIED", _));
  EXPECT_THAT(guest.Do("read shard"), IsPattern(100)) << "told, and nothing more";
  EXPECT_THAT(guest.Do("detach shard"), IsOk());
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_revoked_mappings", 0));
}

TEST_F(Rights, ANamespaceThatIsDeniedSharesNothing) {
  RemoteParty banned = Member("banned", "pod", {{"group", "weights"}}, 0);
  EXPECT_THAT(banned.Do("malloc shard 4194304"), IsOk());
  EXPECT_THAT(banned.Do("publish shard"),
              IsRefused("NPU_IPC_POLICY_DENIED", HasSubstr("deniedNamespaces")));
}

TEST_F(Rights, NoMoreThanItsAnnotationSays) {
  RemoteParty exporter =
      Member("team-a", "exporter", {{"group", "weights"}, {"max-bytes", "6Mi"}}, 0);
  Publish(exporter, "first", 1);
  EXPECT_THAT(exporter.Do("malloc second 4194304"), IsOk());
  EXPECT_THAT(exporter.Do("publish second"),
              IsRefused("NPU_IPC_QUOTA_EXCEEDED", HasSubstr("max-bytes")));
  EXPECT_THAT(ExportedKeys(), SizeIs(1)) << "what was refused is not exported";
  EXPECT_THAT(exporter.Do("withdraw first 10000"), IsOk());
  EXPECT_THAT(exporter.Do("publish second"), IsOk());
}

TEST_F(Rights, TheClustersPolicyIsReadAgain) {
  RemoteParty exporter =
      Member("team-a", "exporter", {{"group", "weights"}, {"allow-namespaces", "team-b"}}, 0);
  RemoteParty guest = Member("team-b", "guest", {{"group", "team-a/weights"}}, 1);
  RemoteParty own = Member("team-a", "own", {{"group", "weights"}}, 2);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(guest.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(own.Do("attach shard 10000"), IsOk());
  Config(false);
  node().broker().Signal(SIGHUP);
  EXPECT_EQ(Event(guest), "revoked");
  EXPECT_THAT(guest.Do("attach shard 1000"),
              IsRefused("NPU_IPC_POLICY_DENIED", HasSubstr("crossNamespace")));
  EXPECT_EQ(own.Do("info shard")["state"], "live");
}

TEST_F(Rights, AnExporterThatLosesItsRightLosesItsRegions) {
  RemoteParty exporter = Member("team-a", "exporter", {{"group", "weights"}}, 0);
  RemoteParty importer = Member("team-a", "importer", {{"group", "weights"}}, 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  Annotate(exporter, "npu-ipc.io/group", "weights:importer");
  EXPECT_EQ(Event(exporter), "region-lost");
  EXPECT_EQ(exporter.Do("region shard")["withdrawn"], "yes");
  EXPECT_EQ(Event(importer), "revoked");
  EXPECT_THAT(importer.Do("attach shard 100"), IsRefused("NPU_IPC_TIMED_OUT", _));
  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw shard 10000"), IsOk());
}

TEST_F(Rights, APodThatIsDeletedUnderItsProcesses) {
  RemoteParty exporter = Member("team-a", "exporter", {{"group", "weights"}}, 0);
  RemoteParty importer = Member("team-a", "importer", {{"group", "weights"}}, 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  DeletePod(importer.pod());
  EXPECT_EQ(Event(importer), "revoked");
  EXPECT_THAT(importer.Do("attach shard 1000"), IsRefused("NPU_IPC_UNKNOWN_POD", _));
  DeletePod(exporter.pod());
  EXPECT_EQ(Event(exporter), "region-lost");
}

TEST_F(Rights, RotationCutsOffWhoLostTheRightAndNobodyElse) {
  RemoteParty exporter =
      Member("team-a", "exporter", {{"group", "weights"}, {"revoke", "rotate"}}, 0);
  RemoteParty loser = Member("team-a", "loser", {{"group", "weights"}}, 1);
  RemoteParty keeper = Member("team-a", "keeper", {{"group", "weights"}}, 2);
  const uint64_t first = Publish(exporter, "shard", 100);
  EXPECT_THAT(loser.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(keeper.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(loser.Do("malloc local 4194304"), IsOk());
  const std::string before = ExportedKeys().front();
  EXPECT_THAT(AuditedPids(before),
              UnorderedElementsAre(exporter.host_pid(), loser.host_pid(), keeper.host_pid()));

  Annotate(loser, "npu-ipc.io/group", "");
  EXPECT_EQ(Event(loser), "revoked");
  EXPECT_EQ(Event(keeper), "rotated");
  EXPECT_EQ(keeper.Do("info shard")["state"], "rotated");
  EXPECT_THAT(keeper.Do("detach shard"), IsOk());
  const Answer again = keeper.Do("attach shard 30000");
  EXPECT_THAT(again, IsOk());
  EXPECT_EQ(again["generation"], std::to_string(first + 1));
  EXPECT_EQ(exporter.Do("region shard")["generation"], std::to_string(first + 1));
  EXPECT_THAT(keeper.Do("read shard"), IsPattern(100));

  ASSERT_THAT(LiveKeys(), SizeIs(1));
  const std::string after = LiveKeys().front();
  EXPECT_NE(after, before);
  EXPECT_THAT(AuditedPids(after), ElementsAre(exporter.host_pid(), keeper.host_pid()));
  EXPECT_THAT(loser.Do("copy shard local"), IsVendorError()) << "its pages were pulled";
  EXPECT_THAT(loser.Do("import-key " + after), IsRefused(kNotAdmitted, _));
  EXPECT_THAT(loser.Do("detach shard"), IsOk());
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_revoked_mappings", 0));

  EXPECT_THAT(keeper.Do("detach shard"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw shard 10000"), IsOk());
  EXPECT_THAT(ExportedKeys(), IsEmpty());
  EXPECT_THAT(exporter.Do("free shard"), IsOk());
}

TEST_F(Rights, RotationWithoutDetachingEndsAStaleMappingAlone) {
  RemoteParty exporter =
      Member("team-a", "exporter", {{"group", "weights"}, {"revoke", "rotate"}}, 0);
  RemoteParty loser = Member("team-a", "loser", {{"group", "weights"}}, 1);
  RemoteParty keeper = Member("team-a", "keeper", {{"group", "weights"}}, 2);
  const uint64_t first = Publish(exporter, "shard", 100);
  EXPECT_THAT(loser.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(keeper.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(keeper.Do("malloc local 4194304"), IsOk());
  DeletePod(loser.pod());
  EXPECT_EQ(Event(keeper), "rotated");
  // Attaches first, and lets go of the old mapping after that.
  EXPECT_THAT(keeper.Do("copy shard local"), IsOk()) << "within the drain time";
  EXPECT_TRUE(WaitUntil(
      [&] { return exporter.Do("region shard")["generation"] == std::to_string(first + 1); }));
  EXPECT_THAT(keeper.Do("copy shard local"), IsVendorError());
  EXPECT_THAT(keeper.Do("detach shard"), IsOk());
  EXPECT_THAT(keeper.Do("attach shard 30000"), IsOk());
  EXPECT_THAT(keeper.Do("read shard"), IsPattern(100));
}

class FullWhitelist : public NodeTest {
 protected:
  std::vector<std::string> BrokerFlags() const override {
    return {"--share-max-whitelist=1", "--share-rotate-drain=200ms"};
  }
};

TEST_F(FullWhitelist, IsRenewedForTheNext) {
  RemoteParty exporter = StartMember("exporter", "weights", 0);
  RemoteParty first = StartMember("first", "weights", 1);
  RemoteParty second = StartMember("second", "weights", 2);
  const uint64_t generation = Publish(exporter, "shard", 100);
  EXPECT_THAT(first.Do("attach shard 10000"), IsOk());
  const Answer attached = second.Do("attach shard 30000");
  EXPECT_THAT(attached, IsOk());
  EXPECT_EQ(attached["generation"], std::to_string(generation + 1));
  EXPECT_EQ(first.Do("event 30000")["event"], "rotated");
  ASSERT_THAT(LiveKeys(), SizeIs(1));
  EXPECT_THAT(AuditedPids(LiveKeys().front()), ElementsAre(exporter.host_pid(), second.host_pid()));
  EXPECT_TRUE(MetricBecomes("npu_ipc_broker_rotating_keys", 0));
}

}  // namespace
}  // namespace npu_ipc
