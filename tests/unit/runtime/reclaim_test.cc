// What the library does when the broker was restarted: nobody calls it.
#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReclaimTest : public ClientTest {
 protected:
  // The broker ends, and another one that speaks that minor version has the client's Hello.
  void RestartBroker(uint32_t speaks_minor = wire::kVersionMinor) {
    broker_.Stop();
    connection_->Close();
    EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
    broker_.Listen();
    connection_ = broker_.Accept();
    connection_->Welcome(speaks_minor);
  }
  wire::ReclaimRegion ReceiveRegion() {
    return connection_->Receive<wire::ReclaimRegion>(wire::MessageType::kReclaimRegion);
  }
  wire::ReclaimMapping ReceiveMapping() {
    return connection_->Receive<wire::ReclaimMapping>(wire::MessageType::kReclaimMapping);
  }
  void AnswerRegion(const wire::ReclaimRegion& claim, uint64_t region_id, uint64_t generation) {
    connection_->Send(wire::Published{{}, region_id, generation}, wire::MessageType::kPublished,
                      claim.header.request_id);
  }
  void AnswerMapping(const wire::ReclaimMapping& claim, uint64_t grant_id) {
    connection_->Send(wire::Reclaimed{{}, grant_id}, wire::MessageType::kReclaimed,
                      claim.header.request_id);
  }
  void SendWithdrawing(uint64_t grant_id, wire::WithdrawReason reason) {
    connection_->Send(wire::Withdrawing{{}, grant_id, reason, 0}, wire::MessageType::kWithdrawing,
                      0);
  }
  void ReleasePeer(uint32_t peer) {
    connection_->Send(wire::PeerRelease{{}, kOwnPhysicalDevice, peer},
                      wire::MessageType::kPeerRelease, 0);
  }
};

TEST_F(ReclaimTest, EverythingIsToldInOrderAndTheProgramHearsThatTheBrokerIsBack) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  EXPECT_EQ(Admit(MakeAdmit(5, 8001, /*peer_access=*/true)).status, wire::Status::kOk);
  npu_ipc_mapping* const mapping = Attach("m", 50, /*peer_access=*/true);
  const std::string key = PublishedKey();
  RestartBroker();

  const auto first = connection_->Receive<wire::PeerHeld>(wire::MessageType::kPeerHeld);
  const auto second = connection_->Receive<wire::PeerHeld>(wire::MessageType::kPeerHeld);
  EXPECT_EQ(first.own_physical_device, kOwnPhysicalDevice);
  EXPECT_EQ(first.peer_physical_device, 3u);
  EXPECT_EQ(second.peer_physical_device, 1u);
  const auto claim = ReceiveRegion();
  EXPECT_STREQ(claim.group, "weights") << "named, although publish left it empty";
  EXPECT_STREQ(claim.name, "r");
  EXPECT_EQ(reinterpret_cast<const char*>(claim.handle), key);
  EXPECT_EQ(claim.claimed_physical_device, kOwnPhysicalDevice);
  EXPECT_EQ(claim.allocation_bytes, kBytes);
  EXPECT_EQ(claim.view_bytes, kBytes);
  EXPECT_EQ(claim.generation, 1u);
  EXPECT_EQ(claim.whitelisted, 1u);
  EXPECT_EQ(claim.withdrawn, 0u);
  const auto mapped = ReceiveMapping();
  EXPECT_STREQ(mapped.group, "weights");
  EXPECT_STREQ(mapped.name, "m");
  EXPECT_EQ(reinterpret_cast<const char*>(mapped.handle), GrantKey());
  EXPECT_EQ(mapped.generation, 3u);
  EXPECT_EQ(mapped.view_bytes, 8192u);
  EXPECT_EQ(mapped.exporter_host_pid, 31337);
  EXPECT_STREQ(mapped.exporter_pod_uid, "uid-b");
  EXPECT_EQ(mapped.exporter_physical_device, 1u);
  EXPECT_EQ(mapped.claimed_physical_device, kOwnPhysicalDevice);
  EXPECT_EQ(mapped.enable_peer_access, 1u);
  connection_->ReceiveReclaimDone();

  AnswerRegion(claim, 105, 1);
  AnswerMapping(mapped, 150);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED);
  EXPECT_EQ(Info(region).withdrawn, 0);
  EXPECT_EQ(Info(region).generation, 1u);

  // By their new ids from now on.
  EXPECT_EQ(Admit(MakeAdmit(105, 8002)).status, wire::Status::kOk);
  SendWithdrawing(50, wire::WithdrawReason::kExporterGone);
  SendWithdrawing(150, wire::WithdrawReason::kWithdrawn);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_WITHDRAWING);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_EQ(connection_->Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 150u);
}

TEST_F(ReclaimTest, ABrokerThatStaysAwayIsLookedForUntilItIsThere) {
  Open();
  Publish("r", 5);
  broker_.Stop();
  connection_->Close();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
  for (int i = 0; i < 3; ++i) {
    // Greeted by a broker that ends before it answers.
    broker_.Listen();
    connection_ = broker_.Accept();
    connection_->Receive<wire::Hello>(wire::MessageType::kHello);
    broker_.Stop();
    connection_->Close();
  }
  broker_.Listen();
  connection_ = broker_.Accept();
  connection_->Welcome();
  AnswerRegion(ReceiveRegion(), 105, 1);
  connection_->ReceiveReclaimDone();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED);
}

TEST_F(ReclaimTest, ARestartWithinAReclaimTellsEverythingAgain) {
  Open();
  Publish("a", 5);
  Publish("b", 6, kOtherMemory);
  RestartBroker();
  AnswerRegion(ReceiveRegion(), 105, 1);
  ReceiveRegion();
  RestartBroker();
  const auto first = ReceiveRegion();
  const auto second = ReceiveRegion();
  EXPECT_STRNE(first.name, second.name);
  connection_->ReceiveReclaimDone();
  AnswerRegion(first, 201, 1);
  AnswerRegion(second, 202, 1);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED);
}

TEST_F(ReclaimTest, ARegionWhoseNameIsLostIsToldAndCanStillBeWithdrawn) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  RestartBroker();
  AnswerRegion(ReceiveRegion(), 105, 0);
  connection_->ReceiveReclaimDone();
  const npu_ipc_event lost = NextEvent();
  EXPECT_EQ(lost.type, NPU_IPC_EVENT_REGION_LOST);
  EXPECT_EQ(lost.region, region);
  EXPECT_EQ(Info(region).withdrawn, 1);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED);
  EXPECT_EQ(Admit(MakeAdmit(105, 8002)).status, wire::Status::kExporterGone);

  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 10, 0); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  EXPECT_EQ(request.region_id, 105u);
  connection_->Send(wire::Withdrawn{{}, 105, wire::Status::kOk, 0, {}},
                    wire::MessageType::kWithdrawn, request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
}

TEST_F(ReclaimTest, ARefusedRegionIsLost) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  RestartBroker();
  connection_->Refuse(ReceiveRegion().header.request_id, wire::Status::kLimit, "too many");
  connection_->ReceiveReclaimDone();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_REGION_LOST);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED);
  EXPECT_EQ(npu_ipc_withdraw(region, 10, 0), NPU_IPC_DISCONNECTED);
  EXPECT_EQ(npu_ipc_withdraw(region, 10, 1), NPU_IPC_OK);
  EXPECT_THAT(FakeVendor::Get().exported(), IsEmpty());
}

TEST_F(ReclaimTest, AWithdrawOutlastsARestart) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, kDeadlineMilliseconds, 0); });
  connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  RestartBroker();
  const auto claim = ReceiveRegion();
  EXPECT_EQ(claim.withdrawn, 1u) << "nobody is let in any more";
  connection_->ReceiveReclaimDone();
  AnswerRegion(claim, 105, 0);
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  EXPECT_EQ(request.region_id, 105u);
  EXPECT_LE(request.drain_milliseconds, static_cast<uint32_t>(kDeadlineMilliseconds));
  connection_->Send(wire::Withdrawn{{}, 105, wire::Status::kOk, 0, {}},
                    wire::MessageType::kWithdrawn, request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED) << "and no region was lost";
}

TEST_F(ReclaimTest, WhatEndsBeforeItsClaimIsAnsweredIsGivenBack) {
  Open();
  npu_ipc_mapping* const mapping = Attach("m", 50);
  RestartBroker();
  const auto claim = ReceiveMapping();
  connection_->ReceiveReclaimDone();
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  AnswerMapping(claim, 150);
  EXPECT_EQ(connection_->Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 150u);
}

TEST_F(ReclaimTest, WhatWasDetachedMeanwhileIsNotClaimed) {
  Open();
  npu_ipc_mapping* const first = Attach("m", 50);
  Attach("n", 51);
  broker_.Stop();
  connection_->Close();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
  EXPECT_EQ(npu_ipc_detach(first), NPU_IPC_OK);
  broker_.Listen();
  connection_ = broker_.Accept();
  connection_->Welcome();
  EXPECT_STREQ(ReceiveMapping().name, "n");
  connection_->ReceiveReclaimDone();
}

TEST_F(ReclaimTest, ARightThatWasTakenBackIsTold) {
  Open();
  npu_ipc_mapping* const mapping = Attach("m", 50);
  RestartBroker();
  AnswerMapping(ReceiveMapping(), 150);
  SendWithdrawing(150, wire::WithdrawReason::kRevoked);
  EXPECT_EQ(NextEventBesides(NPU_IPC_EVENT_RECONNECTED).type, NPU_IPC_EVENT_REVOKED);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_REVOKED);
}

// The pod has lost its annotation: the broker says no, and hears all the same what there is.
TEST_F(ReclaimTest, APodThatIsRefusedTellsWhatItHolds) {
  Open();
  Attach("m", 50);
  broker_.Stop();
  connection_->Close();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
  broker_.Listen();
  connection_ = broker_.Accept();
  const auto hello = connection_->Receive<wire::Hello>(wire::MessageType::kHello);
  wire::Refused refused = {};
  refused.header = {wire::kVersionMajor,         0,
                    wire::MessageType::kRefused, sizeof(refused),
                    wire::kVersionMinor,         hello.header.request_id};
  refused.status = wire::Status::kNoGroup;
  connection_->SendRaw(&refused, sizeof(refused));
  AnswerMapping(ReceiveMapping(), 150);
  connection_->ReceiveReclaimDone();
  SendWithdrawing(150, wire::WithdrawReason::kRevoked);
  EXPECT_EQ(NextEventBesides(NPU_IPC_EVENT_RECONNECTED).type, NPU_IPC_EVENT_REVOKED);
}

TEST_F(ReclaimTest, AForcedWithdrawIsToldToTheBroker) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Send(wire::Withdrawn{{}, 5, wire::Status::kStillHeld, 1, "team-b/x (host pid 7)"},
                    wire::MessageType::kWithdrawn, request.header.request_id);
  EXPECT_EQ(connection_->Receive<wire::Closed>(wire::MessageType::kClosed).region_id, 5u);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_THAT(FakeVendor::Get().exported(), IsEmpty());
}

TEST_F(ReclaimTest, AForcedWithdrawOfOneNameOfTwoClosesNothing) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  Publish("s", 6);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Send(wire::Withdrawn{{}, 5, wire::Status::kStillHeld, 1, "team-b/x (host pid 7)"},
                    wire::MessageType::kWithdrawn, request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_EQ(Admit(MakeAdmit(6, 8001)).status, wire::Status::kOk) << "the next that is heard";
}

TEST_F(ReclaimTest, PeerAccessOfAnUnknownRegionIsKept) {
  Open();
  Publish("r", 5);
  EXPECT_EQ(Admit(MakeAdmit(5, 8001, /*peer_access=*/true)).status, wire::Status::kOk);
  RestartBroker();
  connection_->Receive<wire::PeerHeld>(wire::MessageType::kPeerHeld);
  const auto claim = ReceiveRegion();
  connection_->ReceiveReclaimDone();
  ReleasePeer(3);
  AnswerRegion(claim, 105, 1);
  EXPECT_EQ(Admit(MakeAdmit(105, 8002)).status, wire::Status::kOk);  // all before it is done
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre("0>3"));
  // Now the broker knows who uses the pair, and that nobody does.
  ReleasePeer(3);
  EXPECT_EQ(Admit(MakeAdmit(105, 8003)).status, wire::Status::kOk);
  EXPECT_THAT(FakeVendor::Get().peers(), IsEmpty());
}

TEST_F(ReclaimTest, ManyMoreThanASocketTakesAreTold) {
  Open();
  constexpr uint64_t kRegions = 1500;
  for (uint64_t i = 0; i < kRegions; ++i) Publish(("r" + std::to_string(i)).c_str(), i + 1);
  RestartBroker();
  for (uint64_t i = 0; i < kRegions; ++i) AnswerRegion(ReceiveRegion(), 10000 + i, 1);
  connection_->ReceiveReclaimDone();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED);
  connection_.reset();  // else closing the client waits for somebody to read as many goodbyes
}

}  // namespace
}  // namespace npu_ipc::test
