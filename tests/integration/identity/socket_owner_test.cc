// A connection belongs to the process that made it, whoever else may hold its socket.
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/identity/identity_process_test.h"

namespace npu_ipc::broker {
namespace {

using testing::HasSubstr;
using wire::MessageType;
using wire::Status;

class SocketOwner : public IdentityProcessTest {
 protected:
  void SetUp() override {
    IdentityProcessTest::SetUp();
    StartBroker();
    pod_ = AddPod("trainer", "weights");
    owner_ = AddClient(pod_);
  }
  void TearDown() override {
    // Not the test's own children: they would keep the pod's cgroup.
    child_.reset();
    IdentityProcessTest::TearDown();
  }

  // A child of the owner's that holds the connection; the owner itself no longer listens to it.
  ClientProcess& ForkHolder(int namespaces = 0) {
    child_ = owner_->Fork(namespaces);
    EXPECT_NE(child_, nullptr);
    ::kill(owner_->pid(), SIGSTOP);
    return *child_;
  }

  PodRecord pod_;
  std::shared_ptr<ClientProcess> owner_;
  std::unique_ptr<ClientProcess> child_;
};

TEST_F(SocketOwner, InheritedOverForkItDoesNotCarryTheParentsRights) {
  ClientProcess& child = ForkHolder();
  Send(child, Publish("rank-0"));
  EXPECT_TRUE(RefusedAndClosed(child, Status::kReconnect));
  EXPECT_TRUE(WaitForMetric("regions 0"));
  EXPECT_TRUE(WaitForMetric("denials_total{reason=\"reconnect\"} 1"));

  // One of its own has its own.
  ASSERT_TRUE(child.Connect(socket_));
  Send(child, Hello());
  const auto welcome = Receive<wire::Welcome>(child, MessageType::kWelcome);
  EXPECT_EQ(welcome.host_pid, child.pid());
  EXPECT_EQ(welcome.pod_uid, pod_.uid);
}

TEST_F(SocketOwner, PassedToAProcessOfAnotherPodItDoesNotCarryItsMakersRights) {
  const auto stranger = AddProcess(AddPod("stranger", ""));
  const UniqueFd socket = owner_->Socket();
  ASSERT_TRUE(stranger->Take(socket.get()));
  ::kill(owner_->pid(), SIGSTOP);
  Send(*stranger, Publish("rank-0"));
  EXPECT_TRUE(RefusedAndClosed(*stranger, Status::kReconnect));
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

TEST_F(SocketOwner, PassedBeforeItsFirstMessageItDoesNotCarryItsMakersRights) {
  const auto maker = AddProcess(pod_);
  const auto stranger = AddProcess(AddPod("stranger", ""));
  ASSERT_TRUE(maker->Connect(socket_));
  const UniqueFd socket = maker->Socket();
  ASSERT_TRUE(stranger->Take(socket.get()));
  ::kill(maker->pid(), SIGSTOP);
  Send(*stranger, Hello());
  EXPECT_TRUE(RefusedAndClosed(*stranger, Status::kReconnect));
}

// A message that was sent before the broker knew of the connection has a sender all the same.
TEST_F(SocketOwner, PassedBeforeItIsAcceptedItDoesNotCarryItsMakersRights) {
  const auto maker = AddProcess(pod_);
  const auto stranger = AddProcess(AddPod("stranger", ""));
  PauseBroker();
  ASSERT_TRUE(maker->Connect(socket_));
  const UniqueFd socket = maker->Socket();
  ASSERT_TRUE(stranger->Take(socket.get()));
  ::kill(maker->pid(), SIGSTOP);
  Send(*stranger, Hello());
  Send(*stranger, Publish("rank-0"));
  ResumeBroker();
  EXPECT_TRUE(RefusedAndClosed(*stranger, Status::kReconnect));
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

TEST_F(SocketOwner, HeldByAChildItDoesNotKeepTheDeadParentAlive) {
  Send(*owner_, Publish("rank-0"));
  Receive<wire::Published>(*owner_, MessageType::kPublished);
  const auto importer = AddClient(pod_);
  Send(*importer, Attach("rank-0", 30000));
  const auto admit = Receive<wire::Admit>(*owner_, MessageType::kAdmit);
  Send(*owner_, Admitted(admit));
  const auto grant = Receive<wire::Grant>(*importer, MessageType::kGrant);

  ClientProcess& child = ForkHolder();
  owner_->Kill();
  const auto withdrawing = Receive<wire::Withdrawing>(*importer, MessageType::kWithdrawing);
  EXPECT_EQ(withdrawing.grant_id, grant.grant_id);
  EXPECT_EQ(withdrawing.reason, wire::WithdrawReason::kExporterGone);
  EXPECT_TRUE(Closed(child)) << "the connection has ended for whoever holds it";
  EXPECT_TRUE(WaitForMetric("regions 0"));
  EXPECT_TRUE(WaitForMetric("clients 1"));
}

TEST_F(SocketOwner, HeldByAChildAnImportersClaimsEndWithTheImporter) {
  const auto exporter = AddClient(pod_);
  Send(*exporter, Publish("rank-0"));
  Receive<wire::Published>(*exporter, MessageType::kPublished);
  Send(*owner_, Attach("rank-0", 30000));
  Send(*exporter, Admitted(Receive<wire::Admit>(*exporter, MessageType::kAdmit)));
  Receive<wire::Grant>(*owner_, MessageType::kGrant);
  ASSERT_TRUE(WaitForMetric("grants 1"));

  ClientProcess& child = ForkHolder();
  owner_->Kill();
  EXPECT_TRUE(Closed(child));
  EXPECT_TRUE(WaitForMetric("grants 0"));
}

TEST_F(SocketOwner, KeptOverExecItIsTheSameProcess) {
  const UniqueFd socket = owner_->Socket();
  const wire::Publish publish = Publish("rank-0");
  owner_->Execute(&publish, sizeof(publish));
  wire::Published published = {};
  ASSERT_EQ(::recv(socket.get(), &published, sizeof(published), 0), sizeof(published));
  EXPECT_EQ(published.header.type, MessageType::kPublished);
  EXPECT_TRUE(WaitForMetric("regions 1"));
  owner_->Kill();
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

TEST_F(SocketOwner, ExecInAForkedChildDoesNotCarryTheParentsRights) {
  const UniqueFd socket = owner_->Socket();
  ClientProcess& child = ForkHolder();
  const wire::Publish publish = Publish("rank-0");
  child.Execute(&publish, sizeof(publish));
  wire::Refused refused = {};
  ASSERT_EQ(::recv(socket.get(), &refused, sizeof(refused), 0), sizeof(refused));
  EXPECT_EQ(refused.status, Status::kReconnect);
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

TEST_F(SocketOwner, AllThreadsOfTheProcessMaySend) {
  const wire::Publish publish = Publish("rank-0");
  owner_->SendFromThread(&publish, sizeof(publish));
  Receive<wire::Published>(*owner_, MessageType::kPublished);
  EXPECT_TRUE(WaitForMetric("regions 1"));
}

// Root of a PID namespace may name any process of that namespace as the sender. None is outside it.
TEST_F(SocketOwner, CredentialsForgedInAPidNamespaceNameNobodyOutsideIt) {
  ClientProcess& child = ForkHolder(CLONE_NEWPID);
  const wire::Publish publish = Publish("rank-0");
  EXPECT_FALSE(child.SendAs(owner_->pid(), &publish, sizeof(publish)))
      << "the owner has no pid in that namespace";
  ASSERT_TRUE(child.SendAs(1, &publish, sizeof(publish))) << "itself, as it knows itself";
  EXPECT_TRUE(RefusedAndClosed(child, Status::kReconnect));
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

TEST_F(SocketOwner, CredentialsForgedToNameAnotherProcessCloseTheConnection) {
  const auto other = AddClient(AddPod("other", "other-group"));
  const wire::Publish publish = Publish("rank-0");
  ASSERT_TRUE(owner_->SendAs(other->pid(), &publish, sizeof(publish))) << "root of the node may";
  EXPECT_TRUE(RefusedAndClosed(*owner_, Status::kReconnect));
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

// Who is privileged over the owner's PID namespace can speak for it: as it could by ptrace. It is
// still the owner that speaks, with the owner's rights.
TEST_F(SocketOwner, CredentialsForgedToNameTheOwnerSelectNoIdentity) {
  const auto stranger = AddProcess(AddPod("stranger", "other-group"));
  const UniqueFd socket = owner_->Socket();
  ASSERT_TRUE(stranger->Take(socket.get()));
  ::kill(owner_->pid(), SIGSTOP);
  const wire::Publish publish = Publish("rank-0");
  ASSERT_TRUE(stranger->SendAs(owner_->pid(), &publish, sizeof(publish)));
  const auto published = Receive<wire::Published>(*stranger, MessageType::kPublished);
  EXPECT_TRUE(WaitForLog("name=team/weights/rank-0 generation=" +
                         std::to_string(published.generation) + " pod=team/trainer"));
}

TEST_F(SocketOwner, EndedByItsMakerItIsOnlyDisconnected) {
  Send(*owner_, Publish("rank-0"));
  Receive<wire::Published>(*owner_, MessageType::kPublished);
  owner_->Disconnect();
  EXPECT_TRUE(WaitForLog("client disconnected: pod=team/trainer"));
  EXPECT_TRUE(WaitForMetric("regions 1")) << "its process lives";
  owner_->Kill();
  EXPECT_TRUE(WaitForMetric("regions 0"));
}

}  // namespace
}  // namespace npu_ipc::broker
