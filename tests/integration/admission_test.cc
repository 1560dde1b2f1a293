// Who is let in, and what the others are told.
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Admission : public NodeTest {};

TEST_F(Admission, AnImporterMayNotPublish) {
  RemoteParty importer = StartMember("importer", "weights:importer", 0);
  EXPECT_THAT(importer.Do("malloc shard 4194304"), IsOk());
  EXPECT_THAT(importer.Do("publish shard"),
              IsRefused("NPU_IPC_ROLE_DENIED",
                        AllOf(HasSubstr("team-a/importer"), HasSubstr("npu-ipc.io/group"),
                              HasSubstr("needs the role exporter or both"))));
}

TEST_F(Admission, AnExporterMayNotAttach) {
  RemoteParty owner = StartMember("owner", "weights:exporter", 0);
  Publish(owner, "shard", 1);
  RemoteParty other = StartMember("other", "weights:exporter", 1);
  EXPECT_THAT(other.Do("attach shard 10000"),
              IsRefused("NPU_IPC_ROLE_DENIED",
                        AllOf(HasSubstr("team-a/other"), HasSubstr("npu-ipc.io/group"),
                              HasSubstr("needs the role importer or both"))));
}

TEST_F(Admission, WhoIsBothMayBoth) {
  RemoteParty left = StartMember("left", "weights", 0);
  RemoteParty right = StartMember("right", "weights:both", 1);
  Publish(left, "from-left", 10);
  Publish(right, "from-right", 20);
  EXPECT_THAT(left.Do("attach from-right 10000"), IsOk());
  EXPECT_THAT(right.Do("attach from-left 10000"), IsOk());
  EXPECT_THAT(left.Do("read from-right"), IsPattern(20));
  EXPECT_THAT(right.Do("read from-left"), IsPattern(10));
}

TEST_F(Admission, GroupsOfOneNameInTwoNamespacesAreTwo) {
  RemoteParty owner = StartMember("owner", "weights", 0);
  Publish(owner, "shard", 1);
  PodRecord elsewhere = {"team-b", "elsewhere", RandomUid(), {{"npu-ipc.io/group", "weights"}}};
  TellBroker(elsewhere);
  RemoteParty stranger = Start(elsewhere, 1);
  EXPECT_THAT(stranger.Do("open"), IsOk());
  EXPECT_THAT(stranger.Do("attach shard 2000"),
              IsRefused("NPU_IPC_TIMED_OUT", HasSubstr("team-b/weights")));
}

TEST_F(Admission, APodWithoutTheAnnotationIsRefused) {
  RemoteParty party = Start(NewPod("plain", ""), 0);
  EXPECT_THAT(party.Do("open"),
              IsRefused("NPU_IPC_NO_GROUP",
                        AllOf(HasSubstr("team-a/plain"), HasSubstr("npu-ipc.io/group"))));
}

TEST_F(Admission, ABadAnnotationIsRefusedAndNeverBecomesADefault) {
  RemoteParty party = Start(NewPod("wrong", "weights:reader"), 0);
  EXPECT_THAT(party.Do("open"),
              IsRefused("NPU_IPC_BAD_ANNOTATION",
                        AllOf(HasSubstr("team-a/wrong"), HasSubstr("npu-ipc.io/group"),
                              HasSubstr("reader"), HasSubstr("exporter, importer or both"))));
}

TEST_F(Admission, APodThatIsNotKnownYetIsWaitedFor) {
  const PodRecord pod = {"team-a", "late", RandomUid(), {{"npu-ipc.io/group", "weights"}}};
  RemoteParty party = Start(pod, 0);
  const double before = Metric("npu_ipc_broker_connections_total");
  party.Tell("open");
  ASSERT_TRUE(MetricBecomes("npu_ipc_broker_connections_total", before + 1));
  TellBroker(pod);
  EXPECT_THAT(party.Hear(), IsOk());
  EXPECT_EQ(party.Do("whoami")["pod"], "team-a/late");
}

class ShortPodWait : public NodeTest {
  std::vector<std::string> BrokerFlags() const override { return {"--pods-wait-timeout", "100ms"}; }
};

TEST_F(ShortPodWait, APodThatStaysUnknownIsRefused) {
  const PodRecord pod = {"team-a", "nobody", RandomUid(), {{"npu-ipc.io/group", "weights"}}};
  RemoteParty party = Start(pod, 0);
  EXPECT_THAT(party.Do("open"),
              IsRefused("NPU_IPC_UNKNOWN_POD", AllOf(HasSubstr(pod.uid), HasSubstr("100 ms"))));
}

}  // namespace
}  // namespace npu_ipc
