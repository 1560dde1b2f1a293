// A key that is closed and made anew: the exporter's side of it, and the importer's.
#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::ElementsAre;

class RotationTest : public ClientTest {
 protected:
  void SendRotate(uint64_t region_id, uint32_t deadline_ms = kDeadlineMilliseconds) {
    wire::Rotate rotate = {};
    rotate.region_id = region_id;
    rotate.reason = wire::RotateReason::kRevoked;
    rotate.deadline_milliseconds = deadline_ms;
    connection_->Send(rotate, wire::MessageType::kRotate, 4711);
  }
  wire::Rotated Rotate(uint64_t region_id) {
    SendRotate(region_id);
    const auto rotated = connection_->Receive<wire::Rotated>(wire::MessageType::kRotated);
    EXPECT_EQ(rotated.header.request_id, 4711u);
    EXPECT_EQ(rotated.region_id, region_id);
    return rotated;
  }
  void SendRepublished(uint64_t region_id, uint64_t generation) {
    connection_->Send(wire::Republished{{}, region_id, generation}, wire::MessageType::kRepublished,
                      0);
  }
  void SendWithdrawing(uint64_t grant_id, wire::WithdrawReason reason) {
    connection_->Send(wire::Withdrawing{{}, grant_id, reason, 10000},
                      wire::MessageType::kWithdrawing, 0);
  }
  // Answers the withdraw that must be next.
  void AnswerWithdraw(wire::Status status = wire::Status::kOk) {
    const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
    connection_->Send(wire::Withdrawn{{}, request.region_id, status, 0, {}},
                      wire::MessageType::kWithdrawn, request.header.request_id);
  }
  static std::string KeyOf(const wire::Rotated& rotated) {
    return reinterpret_cast<const char*>(rotated.handle);
  }
};

TEST_F(RotationTest, ClosesTheKeyAndExportsTheAllocationAnew) {
  Open();
  npu_ipc_region* const region = Publish("rank-0", 9);
  const std::string before = PublishedKey();
  EXPECT_EQ(Admit(MakeAdmit(9, 100)).status, wire::Status::kOk);
  const wire::Rotated rotated = Rotate(9);
  ASSERT_EQ(rotated.status, wire::Status::kOk);
  EXPECT_NE(KeyOf(rotated), before);
  const auto exported = FakeVendor::Get().exported();
  ASSERT_EQ(exported.size(), 1u) << "closed before it is made: never two of one address";
  EXPECT_EQ(exported.begin()->first, KeyOf(rotated));
  EXPECT_EQ(exported.begin()->second, kMemory);

  SendRepublished(9, 5);
  EXPECT_EQ(Admit(MakeAdmit(9, 200)).status, wire::Status::kOk);
  EXPECT_THAT(FakeVendor::Get().whitelisted(KeyOf(rotated)), ElementsAre(200));
  EXPECT_EQ(Info(region).generation, 5u);
  EXPECT_EQ(Info(region).withdrawn, 0);
  EXPECT_EQ(FakeVendor::Get().whitelisting_context(), kContext);

  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 0); });
  AnswerWithdraw();
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(RotationTest, AllNamesOfTheAllocationHaveTheNewKey) {
  Open();
  Publish("a", 1);
  Publish("b", 2);
  const wire::Rotated rotated = Rotate(1);
  EXPECT_EQ(Admit(MakeAdmit(1, 100)).status, wire::Status::kOk);
  EXPECT_EQ(Admit(MakeAdmit(2, 200)).status, wire::Status::kOk);
  EXPECT_THAT(FakeVendor::Get().whitelisted(KeyOf(rotated)), ElementsAre(100, 200));
  Publish("c", 3);
  EXPECT_EQ(PublishedKey(), KeyOf(rotated));
}

TEST_F(RotationTest, FollowsTheAdmissionsThatCameBeforeIt) {
  Open();
  Publish("rank-0", 9);
  const std::string before = PublishedKey();
  FakeVendor::Get().BlockWhitelisting();
  connection_->Send(MakeAdmit(9, 100), wire::MessageType::kAdmit, 1);
  FakeVendor::Get().WaitUntilWhitelistingBlocks();
  SendRotate(9);
  connection_->Send(MakeAdmit(9, 200), wire::MessageType::kAdmit, 2);
  FakeVendor::Get().UnblockWhitelisting();
  EXPECT_EQ(connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted).importer_host_pid,
            100);
  const auto rotated = connection_->Receive<wire::Rotated>(wire::MessageType::kRotated);
  EXPECT_EQ(connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted).importer_host_pid,
            200);
  EXPECT_THAT(FakeVendor::Get().whitelisted(before), ElementsAre(100));
  EXPECT_THAT(FakeVendor::Get().whitelisted(KeyOf(rotated)), ElementsAre(200));
}

TEST_F(RotationTest, ThatComesTooLateIsDropped) {
  Open();
  Publish("rank-0", 9);
  SendRotate(9, 0);
  EXPECT_EQ(Admit(MakeAdmit(9, 100)).status, wire::Status::kOk) << "no answer before this one";
  EXPECT_THAT(FakeVendor::Get().whitelisted(PublishedKey()), ElementsAre(100));
}

TEST_F(RotationTest, OfARegionThatIsNotOursIsRefused) {
  Open();
  Publish("rank-0", 9);
  EXPECT_EQ(Rotate(10).status, wire::Status::kNotFound);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemClose"), 0);
}

TEST_F(RotationTest, AKeyThatCannotBeClosedIsLost) {
  Open();
  npu_ipc_region* const first = Publish("a", 1);
  npu_ipc_region* const second = Publish("b", 2);
  FakeVendor::Get().Fail("aclrtIpcMemClose", 507899);
  const wire::Rotated rotated = Rotate(1);
  EXPECT_EQ(rotated.status, wire::Status::kExporterFailed);
  EXPECT_EQ(rotated.vendor_code, 507899);
  EXPECT_EQ(KeyOf(rotated), "");
  for (npu_ipc_region* const region : {first, second}) {
    const npu_ipc_event event = NextEvent();
    EXPECT_EQ(event.type, NPU_IPC_EVENT_REGION_LOST);
    EXPECT_EQ(event.region, region);
    EXPECT_EQ(Info(region).withdrawn, 1);
  }
  EXPECT_EQ(Admit(MakeAdmit(2, 100)).status, wire::Status::kExporterGone);
}

TEST_F(RotationTest, AnAllocationThatCannotBeExportedAgainHasNoKey) {
  Open();
  npu_ipc_region* const region = Publish("rank-0", 9);
  FakeVendor::Get().Fail("aclrtIpcMemGetExportKey", 207001);
  const wire::Rotated rotated = Rotate(9);
  EXPECT_EQ(rotated.status, wire::Status::kExporterGone);
  EXPECT_EQ(rotated.vendor_code, 207001);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_REGION_LOST);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());

  // It can be published again, and the lost region still ends well.
  FakeVendor::Get().Fail("aclrtIpcMemGetExportKey", 0);
  npu_ipc_region* const again = Publish("again", 10);
  EXPECT_EQ(FakeVendor::Get().exported().count(PublishedKey()), 1u);
  for (npu_ipc_region* const ended : {region, again}) {
    EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
    auto withdrawn = Later([ended] { return npu_ipc_withdraw(ended, 0, 0); });
    AnswerWithdraw();
    EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  }
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(RotationTest, ALostRegionWithoutAKeyEndsWithoutAVendorCall) {
  Open();
  npu_ipc_region* const region = Publish("rank-0", 9);
  FakeVendor::Get().Fail("aclrtIpcMemGetExportKey", 207001);
  Rotate(9);
  const int closes = FakeVendor::Get().Calls("aclrtIpcMemClose");
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 0); });
  AnswerWithdraw();
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemClose"), closes);
}

TEST_F(RotationTest, WithoutTheContextNothingIsClosed) {
  Open();
  Publish("rank-0", 9);
  FakeVendor::Get().Fail("aclrtSetCurrentContext", 107002);
  const wire::Rotated rotated = Rotate(9);
  EXPECT_EQ(rotated.status, wire::Status::kExporterFailed);
  EXPECT_EQ(rotated.vendor_code, 107002);
  EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_REGION_LOST);
}

TEST_F(RotationTest, AWithdrawMeanwhileWaitsForIt) {
  Open();
  npu_ipc_region* const region = Publish("rank-0", 9);
  FakeVendor::Get().Block("aclrtIpcMemGetExportKey");
  SendRotate(9);
  FakeVendor::Get().WaitUntilBlocked();
  // The service thread is in the vendor's call and reads no answer: forced, and without a drain.
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Send(wire::Withdrawn{{}, request.region_id, wire::Status::kOk, 0, {}},
                    wire::MessageType::kWithdrawn, request.header.request_id);
  FakeVendor::Get().Unblock();
  EXPECT_EQ(connection_->Receive<wire::Rotated>(wire::MessageType::kRotated).status,
            wire::Status::kOk);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().exported().empty()) << "the new key is closed";
}

TEST_F(RotationTest, APublishOfAnotherNameMeanwhileHasTheNewKey) {
  Open();
  Publish("a", 1);
  FakeVendor::Get().Block("aclrtIpcMemGetExportKey");
  SendRotate(1);
  FakeVendor::Get().WaitUntilBlocked();
  npu_ipc_region* second = nullptr;
  auto published = PublishLater("b", &second);
  FakeVendor::Get().Unblock();
  const auto rotated = connection_->Receive<wire::Rotated>(wire::MessageType::kRotated);
  const auto request = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
  EXPECT_EQ(reinterpret_cast<const char*>(request.handle), KeyOf(rotated));
  connection_->Send(wire::Published{{}, 2, 1}, wire::MessageType::kPublished,
                    request.header.request_id);
  EXPECT_EQ(published.get(), NPU_IPC_OK);
}

TEST_F(RotationTest, ARegionThatTheBrokerTakesBackIsLost) {
  Open();
  npu_ipc_region* const region = Publish("rank-0", 9);
  SendRepublished(9, 0);
  const npu_ipc_event event = NextEvent();
  EXPECT_EQ(event.type, NPU_IPC_EVENT_REGION_LOST);
  EXPECT_EQ(event.region, region);
  EXPECT_EQ(Info(region).withdrawn, 1);
  EXPECT_EQ(Rotate(9).status, wire::Status::kOk) << "whoever was let in is cut off all the same";
}

TEST_F(RotationTest, AnImporterIsToldToAttachAgain) {
  Open();
  npu_ipc_mapping* const mapping = Attach("rank-0", 5);
  SendWithdrawing(5, wire::WithdrawReason::kRotated);
  const npu_ipc_event event = NextEvent();
  EXPECT_EQ(event.type, NPU_IPC_EVENT_ROTATED);
  EXPECT_EQ(event.mapping, mapping);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_ROTATED);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_EQ(connection_->Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 5u);
}

TEST_F(RotationTest, ARightThatIsTakenBackMeanwhileIsSaid) {
  Open();
  npu_ipc_mapping* const mapping = Attach("rank-0", 5);
  SendWithdrawing(5, wire::WithdrawReason::kRotated);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_ROTATED);
  SendWithdrawing(5, wire::WithdrawReason::kRevoked);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_REVOKED);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_REVOKED);
}

TEST_F(RotationTest, AnImportThatItOvertookIsTriedAgain) {
  Open();
  Publish("own", 1);
  FakeVendor::Get().Block("aclrtIpcMemImportByKey");
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("rank-0", &mapping);
  const auto first = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Send(MakeGrant(5), wire::MessageType::kGrant, first.header.request_id);
  FakeVendor::Get().WaitUntilBlocked();
  SendWithdrawing(5, wire::WithdrawReason::kRotated);
  Admit(MakeAdmit(1, 100));  // what came before it has been handled
  FakeVendor::Get().Fail("aclrtIpcMemImportByKey", 507899);
  FakeVendor::Get().Unblock();
  const auto failed = connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  EXPECT_EQ(failed.grant_id, 5u);
  EXPECT_EQ(failed.vendor_code, 507899);
  FakeVendor::Get().Fail("aclrtIpcMemImportByKey", 0);
  const auto second = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  EXPECT_STREQ(second.name, "rank-0");
  connection_->Send(MakeGrant(6), wire::MessageType::kGrant, second.header.request_id);
  EXPECT_EQ(connection_->Receive<wire::Imported>(wire::MessageType::kImported).grant_id, 6u);
  EXPECT_EQ(attached.get(), NPU_IPC_OK);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_LIVE);
}

TEST_F(RotationTest, AForcedWithdrawWithoutABrokerWaitsForIt) {
  Open(/*timeout_ms=*/1000);
  npu_ipc_region* const region = Publish("rank-0", 9);
  FakeVendor::Get().Block("aclrtIpcMemGetExportKey");
  SendRotate(9);
  FakeVendor::Get().WaitUntilBlocked();
  connection_->Close();
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  FakeVendor::Get().Unblock();
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(RotationTest, AForcedWithdrawTellsThatTheMappingsAreDead) {
  Open();
  npu_ipc_region* const region = Publish("rank-0", 9);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  AnswerWithdraw(wire::Status::kStillHeld);
  EXPECT_EQ(connection_->Receive<wire::Closed>(wire::MessageType::kClosed).region_id, 9u);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
}

}  // namespace
}  // namespace npu_ipc::test
