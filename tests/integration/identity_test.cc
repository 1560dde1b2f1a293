// Which process is which container's of which pod.
#include "hal/base/process.h"
#include "tests/integration/node_test.h"

namespace npu_ipc {
namespace {

using testing::_;
using testing::HasSubstr;

class Identity : public NodeTest {
 protected:
  static Answer Ask(ChildProcess& process, const std::string& command) {
    EXPECT_TRUE(process.WriteLine(command).ok());
    const Result<std::string> line = process.ReadLine();
    return {line.ok() ? *line : "error LOST " + line.status().message()};
  }
};

TEST_F(Identity, IsWhatTheKernelSays) {
  RemoteParty party = StartMember("trainer", "weights:importer", 0);
  const Answer who = party.Do("whoami");
  EXPECT_EQ(who["pid"], "1");
  EXPECT_EQ(who["host_pid"], std::to_string(party.host_pid()));
  EXPECT_EQ(who["pod"], "team-a/trainer");
  EXPECT_EQ(who["uid"], party.pod().uid);
  EXPECT_EQ(who["container"], party.container().id());
  EXPECT_EQ(who["groups"], "weights:importer");
}

TEST_F(Identity, IsNotInheritedByAForkedChild) {
  RemoteParty exporter = StartMember("exporter", "weights", 0);
  RemoteParty importer = StartMember("importer", "weights", 1);
  Publish(exporter, "shard", 100);
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
  for (const char* command :
       {"whoami", "attach shard 10000", "info shard", "detach shard", "event 0"}) {
    EXPECT_THAT(importer.Do(std::string("in-child ") + command),
                IsRefused("NPU_IPC_WRONG_PROCESS", _))
        << command;
  }
  EXPECT_THAT(exporter.Do("in-child withdraw shard 0"), IsRefused("NPU_IPC_WRONG_PROCESS", _));
  EXPECT_THAT(importer.Do("in-child close"), IsOk());
  EXPECT_THAT(importer.Do("in-child open"), IsOk());

  // The parents have lost nothing.
  EXPECT_THAT(importer.Do("read shard"), IsPattern(100));
  EXPECT_THAT(importer.Do("detach shard"), IsOk());
  EXPECT_THAT(importer.Do("attach shard 10000"), IsOk());
}

TEST_F(Identity, OfAProcessExecutedInAContainerIsThatContainers) {
  RemoteParty first = StartMember("trainer", "weights:importer", 0);
  Result<ChildProcess> second = first.container().Exec({"npu-ipc-party"});
  ASSERT_TRUE(second.ok()) << second.status().message();
  EXPECT_THAT(Ask(*second, "open"), IsOk());
  const Answer who = Ask(*second, "whoami");
  EXPECT_EQ(who["pod"], "team-a/trainer");
  EXPECT_EQ(who["uid"], first.pod().uid);
  EXPECT_EQ(who["container"], first.container().id());
  EXPECT_NE(who["host_pid"], std::to_string(first.host_pid()));
  const Result<std::string> status = ReadFile("/proc/" + who["host_pid"] + "/status");
  ASSERT_TRUE(status.ok());
  EXPECT_THAT(*status, HasSubstr("Name:\tnpu-ipc-party\n"));
  EXPECT_THAT(*status, HasSubstr("\t" + who["host_pid"] + "\t" + who["pid"] + "\n"));
}

// shareProcessNamespace: true
TEST_F(Identity, OfAContainerThatSharesItsPodsProcessesIsItsOwn) {
  RemoteParty first = StartMember("trainer", "weights", 0);
  RemoteParty second = Start(first.pod(), 1, {.pid_of = first.host_pid()});
  EXPECT_THAT(second.Do("open"), IsOk());
  const Answer who = second.Do("whoami");
  EXPECT_NE(who["pid"], "1") << "it does not share it";
  EXPECT_EQ(who["host_pid"], std::to_string(second.host_pid()));
  EXPECT_EQ(who["uid"], first.pod().uid);
  EXPECT_EQ(who["container"], second.container().id());
  EXPECT_EQ(first.Do("whoami")["container"], first.container().id());

  // What the driver lists is each one's own host pid.
  Publish(first, "shard", 100);
  EXPECT_THAT(second.Do("attach shard 10000"), IsOk());
  EXPECT_THAT(second.Do("read shard"), IsPattern(100));
}

// hostUsers: false. Its root is nobody to device nodes of mode 0660, which is what the driver
// makes.
TEST_F(Identity, OfAPodInAUserNamespaceIsThatPods) {
  RemoteParty importer = Run(NewPod("importer", "weights:importer"), 1, {.user = true});
  const Result<std::string> mapping =
      ReadFile("/proc/" + std::to_string(importer.host_pid()) + "/uid_map");
  ASSERT_TRUE(mapping.ok());
  EXPECT_THAT(*mapping, HasSubstr("1000000")) << "it has none";
  EXPECT_THAT(importer.Do("open"), IsOk());
  const Answer who = importer.Do("whoami");
  EXPECT_EQ(who["pod"], "team-a/importer");
  EXPECT_EQ(who["container"], importer.container().id());
  EXPECT_EQ(who["host_pid"], std::to_string(importer.host_pid()));
  EXPECT_THAT(importer.Do("device 0").line, HasSubstr("/dev/davinci1: Permission denied"));
}

TEST_F(Identity, OfARestartedContainerIsTheNewContainers) {
  RemoteParty before = StartMember("trainer", "weights", 0);
  const uint64_t generation = Publish(before, "shard", 1);
  before.Kill();
  RemoteParty after = Start(before.pod(), 0);
  EXPECT_THAT(after.Do("open"), IsOk());
  const Answer who = after.Do("whoami");
  EXPECT_EQ(who["uid"], before.pod().uid);
  EXPECT_EQ(who["container"], after.container().id());
  EXPECT_NE(who["container"], before.container().id());
  EXPECT_THAT(after.Do("malloc shard 4194304"), IsOk());
  EXPECT_EQ(GenerationOf(after.Do("publish shard")), generation + 1);
}

}  // namespace
}  // namespace npu_ipc
