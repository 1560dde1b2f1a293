// A pid that is another process' by now, at every step from connect to import.
#include <gmock/gmock.h>

#include "tests/fixtures/older_kernel.h"
#include "tests/integration/identity/identity_process_test.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using testing::Not;
using wire::MessageType;
using wire::Status;

struct Kernel {
  std::string name;
  KernelFeatures features;
};

// `stranger_pod_` is what a dead peer must not become: a member of the group. `outsider_pod_` is in
// no group, and what must not get in.
class PidReuse : public IdentityProcessTest, public testing::WithParamInterface<Kernel> {
 protected:
  void SetUp() override {
    IdentityProcessTest::SetUp();
    before_broker_ = [features = GetParam().features] {
      if (!RestrictKernel(features)) ::_exit(125);
    };
    StartBroker();
    member_pod_ = AddPod("member", "weights");
    stranger_pod_ = AddPod("stranger", "weights");
    outsider_pod_ = AddPod("outsider", "");
  }

  // As AddClient(), for a process that may be too young for an older kernel to be sure of.
  std::shared_ptr<ClientProcess> AddMember(const PodRecord& pod) {
    const std::shared_ptr<ClientProcess> client = AddProcess(pod);
    Introduce(*client);
    return client;
  }
  void Introduce(ClientProcess& client) {
    EXPECT_TRUE(WaitUntil([&] {
      EXPECT_TRUE(client.Connect(socket_));
      Send(client, Hello());
      const std::vector<char> answer = client.Receive();
      return answer.size() == sizeof(wire::Welcome);
    }));
  }
  std::shared_ptr<ClientProcess> AddExporter(const std::string& name) {
    std::shared_ptr<ClientProcess> exporter = AddMember(member_pod_);
    Send(*exporter, Publish(name));
    generation_ = Receive<wire::Published>(*exporter, MessageType::kPublished).generation;
    return exporter;
  }
  // Ends `process` with its pid given to another one, which is in `pod`.
  std::shared_ptr<ClientProcess> ReplaceBy(const PodRecord& pod, ClientProcess& process) {
    std::shared_ptr<ClientProcess> next = Replace(process);
    Enter(*next, pod);
    return next;
  }

  PodRecord member_pod_, stranger_pod_, outsider_pod_;
  uint64_t generation_ = 0;  // of what AddExporter() published last
};

INSTANTIATE_TEST_SUITE_P(Kernels, PidReuse,
                         testing::Values(Kernel{"ThisOne", {}},
                                         Kernel{"WithoutPeerPidfd", WithoutPeerPidfd()},
                                         Kernel{"WithoutPidfds", WithoutPidfds()}),
                         [](const auto& test) { return test.param.name; });

TEST_P(PidReuse, BetweenConnectAndIdentification) {
  const auto outsider = AddProcess(outsider_pod_);
  PauseBroker();
  ASSERT_TRUE(outsider->Connect(socket_));
  Send(*outsider, Hello());
  Send(*outsider, Publish("rank-0"));
  const std::unique_ptr<ClientProcess> holder = outsider->Fork();  // the connection stays open
  ReplaceBy(stranger_pod_, *outsider);
  ResumeBroker();
  EXPECT_TRUE(Closed(*holder)) << "and no Welcome before that";
  WaitForBroker();
  EXPECT_TRUE(WaitForMetric("clients 0"));
  EXPECT_TRUE(WaitForMetric("regions 0"));
  EXPECT_THAT(Log(), Not(HasSubstr("stranger")));
}

TEST_P(PidReuse, BetweenIdentificationAndTheFirstMessage) {
  const auto member = AddProcess(member_pod_);
  WaitForBroker();  // old enough for any kernel
  ASSERT_TRUE(member->Connect(socket_));
  WaitForBroker();
  const UniqueFd socket = member->Socket();
  ASSERT_TRUE(socket);
  PauseBroker();
  const auto outsider = ReplaceBy(outsider_pod_, *member);
  // With the connection and the pid of the member, and before the broker hears of its end.
  ASSERT_TRUE(outsider->Take(socket.get()));
  Send(*outsider, Hello());
  Send(*outsider, Publish("rank-0"));
  ResumeBroker();
  EXPECT_TRUE(Closed(*outsider)) << "and no Welcome before that";
  EXPECT_TRUE(WaitForMetric("regions 0"));
  EXPECT_THAT(Log(), Not(HasSubstr("client connected")));
}

TEST_P(PidReuse, BetweenTwoMessages) {
  const auto member = AddMember(member_pod_);
  const UniqueFd socket = member->Socket();
  PauseBroker();
  const auto outsider = ReplaceBy(outsider_pod_, *member);
  ASSERT_TRUE(outsider->Take(socket.get()));
  Send(*outsider, Publish("rank-0"));
  ResumeBroker();
  EXPECT_TRUE(Closed(*outsider));
  EXPECT_TRUE(WaitForMetric("clients 0"));
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

// The attach waits for a name; the importer has ended when the name comes.
TEST_P(PidReuse, BetweenAttachAndAdmit) {
  const auto exporter = AddMember(member_pod_);
  const auto importer = AddMember(member_pod_);
  Send(*importer, Attach("rank-0", 30000));
  ASSERT_TRUE(WaitForMetric("waiting_attaches 1"));
  PauseBroker();
  const auto outsider = ReplaceBy(outsider_pod_, *importer);
  Send(*exporter, Publish("rank-0"));
  ResumeBroker();
  Receive<wire::Published>(*exporter, MessageType::kPublished);
  EXPECT_TRUE(WaitForMetric("waiting_attaches 0"));
  EXPECT_TRUE(WaitForMetric("grants 0"));
  // Asked for it or not, the exporter has listed nobody: it is not tainted.
  EXPECT_TRUE(WaitForMetric("tainted_keys_total 0"));
}

TEST_P(PidReuse, BetweenAdmitAndTheListingIsReported) {
  const auto exporter = AddExporter("rank-0");
  const auto importer = AddMember(member_pod_);
  Send(*importer, Attach("rank-0", 30000));
  const auto admit = Receive<wire::Admit>(*exporter, MessageType::kAdmit);
  ASSERT_EQ(admit.importer_host_pid, importer->pid());
  const auto outsider = ReplaceBy(outsider_pod_, *importer);
  Send(*exporter, Admitted(admit));  // lists the outsider
  EXPECT_TRUE(WaitForMetric("tainted_keys_total 1"));
  EXPECT_TRUE(WaitForLog("key tainted"));
  EXPECT_THAT(Log(), HasSubstr("pid=" + std::to_string(outsider->pid())));
  EXPECT_TRUE(WaitForMetric("grants 0"));

  // Who has the pid now is not in the group, and gets nothing.
  EXPECT_TRUE(WaitUntil([&] {
    EXPECT_TRUE(outsider->Connect(socket_));
    Send(*outsider, Hello());
    return outsider->Receive().size() == sizeof(wire::Refused);
  }));
  EXPECT_TRUE(WaitForMetric("grants 0"));
}

// The pid is another member's when the answer comes, and an outsider had it when it was listed.
TEST_P(PidReuse, TwiceBetweenAdmitAndAdmittedIsReported) {
  const auto exporter = AddExporter("rank-0");
  const auto importer = AddMember(member_pod_);
  Send(*importer, Attach("rank-0", 30000));
  const auto first = Receive<wire::Admit>(*exporter, MessageType::kAdmit);
  const auto outsider = ReplaceBy(outsider_pod_, *importer);
  const auto next = ReplaceBy(stranger_pod_, *outsider);
  Introduce(*next);
  Send(*next, Attach("rank-0", 30000));
  const auto second = Receive<wire::Admit>(*exporter, MessageType::kAdmit);
  EXPECT_EQ(second.importer_host_pid, first.importer_host_pid);
  Send(*exporter, Admitted(first));
  EXPECT_TRUE(WaitForMetric("tainted_keys_total 1"));
  EXPECT_TRUE(WaitForMetric("grants 0"));
  Send(*exporter, Admitted(second));
  Receive<wire::Grant>(*next, MessageType::kGrant);
}

// The answer is there when the broker looks, and the importer has ended.
TEST_P(PidReuse, BetweenTheListingAndAdmittedIsReported) {
  const auto exporter = AddExporter("rank-0");
  const auto importer = AddMember(member_pod_);
  Send(*importer, Attach("rank-0", 30000));
  const auto admit = Receive<wire::Admit>(*exporter, MessageType::kAdmit);
  PauseBroker();
  Send(*exporter, Admitted(admit));
  ReplaceBy(outsider_pod_, *importer);
  ResumeBroker();
  EXPECT_TRUE(WaitForMetric("tainted_keys_total 1"));
  EXPECT_TRUE(WaitForMetric("grants 0"));
}

TEST_P(PidReuse, BetweenGrantAndImportedNeedsAListingOfItsOwn) {
  const auto exporter = AddExporter("rank-0");
  const auto importer = AddMember(member_pod_);
  Send(*importer, Attach("rank-0", 30000));
  Send(*exporter, Admitted(Receive<wire::Admit>(*exporter, MessageType::kAdmit)));
  const auto grant = Receive<wire::Grant>(*importer, MessageType::kGrant);
  ASSERT_TRUE(WaitForMetric("grants 1"));

  const auto next = ReplaceBy(stranger_pod_, *importer);
  ASSERT_TRUE(WaitForMetric("grants 0"));
  Introduce(*next);
  auto imported = NewMessage<wire::Imported>(MessageType::kImported, 0);
  imported.grant_id = grant.grant_id;  // the dead one's
  Send(*next, imported);
  Send(*next, Attach("rank-0", 30000));
  // The driver's entry of the pid is older than its process: it has to be made anew.
  const auto admit = Receive<wire::Admit>(*exporter, MessageType::kAdmit);
  EXPECT_EQ(admit.importer_host_pid, next->pid());
  EXPECT_TRUE(WaitForMetric("grants 0"));
  Send(*exporter, Admitted(admit));
  EXPECT_NE(Receive<wire::Grant>(*next, MessageType::kGrant).grant_id, grant.grant_id);
  EXPECT_TRUE(WaitForMetric("tainted_keys_total 0"));
}

TEST_P(PidReuse, OfAnExporterBetweenAdmitAndAdmittedIsNoAnswer) {
  const auto exporter = AddExporter("rank-0");
  const auto importer = AddMember(stranger_pod_);
  Send(*importer, Attach("rank-0", 30000));
  const auto admit = Receive<wire::Admit>(*exporter, MessageType::kAdmit);
  const UniqueFd socket = exporter->Socket();
  PauseBroker();
  const auto outsider = ReplaceBy(outsider_pod_, *exporter);
  ASSERT_TRUE(outsider->Take(socket.get()));
  Send(*outsider, Admitted(admit));
  ResumeBroker();
  EXPECT_TRUE(Closed(*outsider));
  EXPECT_TRUE(WaitForMetric("regions 0"));
  EXPECT_TRUE(WaitForMetric("grants 0"));
  EXPECT_TRUE(WaitForMetric("waiting_attaches 1")) << "for the name's next exporter";
}

TEST_P(PidReuse, OfAnExporterIsAnotherExporter) {
  const auto exporter = AddExporter("rank-0");
  const auto importer = AddMember(stranger_pod_);
  Send(*importer, Attach("rank-0", 30000));
  const auto first = Receive<wire::Admit>(*exporter, MessageType::kAdmit);
  const auto next = ReplaceBy(member_pod_, *exporter);
  ASSERT_TRUE(WaitForMetric("regions 0"));
  Introduce(*next);
  Send(*next, Admitted(first));  // not its own
  Send(*next, Publish("rank-0"));
  const auto again = Receive<wire::Published>(*next, MessageType::kPublished);
  EXPECT_GT(again.generation, generation_);
  Send(*next, Admitted(Receive<wire::Admit>(*next, MessageType::kAdmit)));
  const auto grant = Receive<wire::Grant>(*importer, MessageType::kGrant);
  EXPECT_EQ(grant.generation, again.generation);
  EXPECT_EQ(grant.exporter_host_pid, next->pid());
  EXPECT_TRUE(WaitForMetric("grants 1"));
}

}  // namespace
}  // namespace npu_ipc::broker
