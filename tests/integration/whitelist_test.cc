// The driver's own record of who may import.
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::_;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr char kNotAdmitted[] = "507899";

class Whitelist : public NodeTest {};

TEST_F(Whitelist, HasExactlyTheProcessesThatAttached) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty first = StartMember("first", "weights:importer", 1);
  RemoteParty second = StartMember("second", "weights:importer", 2);
  Publish(exporter, "shard", 100);
  ASSERT_THAT(ExportedKeys(), SizeIs(1));
  const std::string key = ExportedKeys().front();
  EXPECT_THAT(AuditedPids(key), ElementsAre(exporter.host_pid())) << "nobody ahead of an attach";

  EXPECT_THAT(first.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(AuditedPids(key), ElementsAre(exporter.host_pid(), first.host_pid()));
  EXPECT_THAT(second.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(AuditedPids(key),
              UnorderedElementsAre(exporter.host_pid(), first.host_pid(), second.host_pid()));

  EXPECT_THAT(first.Do("detach shard"), IsOk());
  EXPECT_THAT(second.Do("detach shard"), IsOk());
  EXPECT_THAT(exporter.Do("withdraw shard 10000"), IsOk());
  EXPECT_THAT(ExportedKeys(), IsEmpty());
}

TEST_F(Whitelist, StopsWhoeverElseHasTheKey) {
  RemoteParty exporter = StartMember("exporter", "weights:exporter", 0);
  RemoteParty importer = StartMember("importer", "weights:importer", 1);
  RemoteParty stranger = Start(NewPod("stranger", ""), 2);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  const std::string key = ExportedKeys().front();

  EXPECT_THAT(stranger.Do("import-key " + key), IsRefused(kNotAdmitted, _));
  // Nor on the importer's own device, in its own container, where peer access is on.
  Result<ChildProcess> neighbour = importer.container().Exec({"npu-ipc-party"});
  ASSERT_TRUE(neighbour.ok()) << neighbour.status().message();
  ASSERT_TRUE(neighbour->WriteLine("device 0").ok());
  EXPECT_EQ(neighbour->ReadLine().value(), "ok count=1");
  ASSERT_TRUE(neighbour->WriteLine("import-key " + key).ok());
  EXPECT_THAT(Answer{neighbour->ReadLine().value()}, IsRefused(kNotAdmitted, _));

  EXPECT_THAT(AuditedPids(key), ElementsAre(exporter.host_pid(), importer.host_pid()));
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
}

}  // namespace
}  // namespace npu_ipc
