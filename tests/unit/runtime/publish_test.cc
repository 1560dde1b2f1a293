// npu_ipc_publish, admissions, npu_ipc_withdraw: the exporter's side.
#include <time.h>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using PublishTest = ClientTest;

TEST_F(PublishTest, SendsTheKeyAndTheView) {
  Open();
  npu_ipc_region* region = nullptr;
  auto published = Later([this, &region] {
    npu_ipc_publish_options options = {};
    options.struct_bytes = sizeof(options);
    options.group = "weights";
    options.view_offset = 4096;
    return npu_ipc_publish(client_, "rank-0", kMemory, kBytes, &options, &region);
  });
  const auto request = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
  connection_->Send(wire::Published{{}, 9, 4}, wire::MessageType::kPublished,
                    request.header.request_id);
  ASSERT_EQ(published.get(), NPU_IPC_OK);
  EXPECT_STREQ(request.group, "weights");
  EXPECT_STREQ(request.name, "rank-0");
  EXPECT_EQ(request.handle_kind, wire::HandleKind::kIpcKey);
  EXPECT_EQ(request.claimed_physical_device, kOwnPhysicalDevice);
  EXPECT_EQ(request.allocation_bytes, kBytes);
  EXPECT_EQ(request.view_offset, 4096u);
  EXPECT_EQ(request.view_bytes, kBytes - 4096);
  const auto exported = FakeVendor::Get().exported();
  ASSERT_EQ(exported.size(), 1u);
  EXPECT_EQ(exported.begin()->first, reinterpret_cast<const char*>(request.handle));
  EXPECT_EQ(exported.begin()->second, kMemory);
  EXPECT_EQ(Info(region).generation, 4u);
  EXPECT_EQ(Info(region).device, kOwnPhysicalDevice);
  EXPECT_EQ(Info(region).withdrawn, 0);
}

TEST_F(PublishTest, ARefusalClosesTheKeyAgain) {
  Open();
  npu_ipc_region* region = nullptr;
  auto published = PublishLater("rank-0", &region);
  const auto request = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
  connection_->Refuse(request.header.request_id, wire::Status::kNameTaken,
                      "team-a/other-0 holds rank-0");
  EXPECT_EQ(published.get(), NPU_IPC_NAME_TAKEN);
  EXPECT_EQ(region, nullptr);
  EXPECT_EQ(LastError(), "team-a/other-0 holds rank-0");
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(PublishTest, OneKeyForAllNamesOfAnAllocation) {
  Open();
  npu_ipc_region* const first = Publish("a", 1);
  const std::string key = PublishedKey();
  npu_ipc_region* const second = Publish("b", 2);
  EXPECT_EQ(PublishedKey(), key);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemGetExportKey"), 1);

  for (npu_ipc_region* const region : {first, second}) {
    EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
    auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 0); });
    const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
    connection_->Send(wire::Withdrawn{{}, request.region_id, wire::Status::kOk, 0, {}},
                      wire::MessageType::kWithdrawn, request.header.request_id);
    EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  }
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(PublishTest, OneAllocationHasOneSize) {
  Open();
  Publish("a", 1);
  npu_ipc_region* region = nullptr;
  EXPECT_EQ(npu_ipc_publish(client_, "b", kMemory, kBytes / 2, nullptr, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_THAT(LastError(), HasSubstr(std::to_string(kBytes)));
}

TEST_F(PublishTest, MistakesAreNamedBeforeAnybodyIsAsked) {
  Open();
  npu_ipc_region* region = nullptr;
  char* const memory = static_cast<char*>(kMemory);
  const std::string long_name(128, 'n');
  EXPECT_EQ(npu_ipc_publish(client_, nullptr, memory, kBytes, nullptr, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_publish(client_, "", memory, kBytes, nullptr, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_publish(client_, long_name.c_str(), memory, kBytes, nullptr, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_THAT(LastError(), HasSubstr("127"));
  EXPECT_EQ(npu_ipc_publish(client_, "r", nullptr, kBytes, nullptr, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_publish(client_, "r", memory, 0, nullptr, &region), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_publish(client_, "r", memory + 512, kBytes, nullptr, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_THAT(LastError(), HasSubstr("aligned"));
  EXPECT_EQ(npu_ipc_publish(client_, "r", memory, kBytes, nullptr, nullptr),
            NPU_IPC_INVALID_ARGUMENT);
  npu_ipc_publish_options options = {};
  EXPECT_EQ(npu_ipc_publish(client_, "r", memory, kBytes, &options, &region),
            NPU_IPC_INVALID_ARGUMENT);
  options.struct_bytes = sizeof(options);
  options.view_offset = kBytes;
  EXPECT_EQ(npu_ipc_publish(client_, "r", memory, kBytes, &options, &region),
            NPU_IPC_INVALID_ARGUMENT);
  options.view_offset = 1;
  options.view_bytes = SIZE_MAX;
  EXPECT_EQ(npu_ipc_publish(client_, "r", memory, kBytes, &options, &region),
            NPU_IPC_INVALID_ARGUMENT);
  options = {};
  options.struct_bytes = sizeof(options);
  options.group = "";
  EXPECT_EQ(npu_ipc_publish(client_, "r", memory, kBytes, &options, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_publish(nullptr, "r", memory, kBytes, nullptr, &region),
            NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemGetExportKey"), 0);
  EXPECT_FALSE(connection_->Readable());
}

TEST_F(PublishTest, AThreadWithoutContextIsToldSo) {
  Open();
  SetThreadContext(nullptr);
  npu_ipc_region* region = nullptr;
  EXPECT_EQ(npu_ipc_publish(client_, "r", kMemory, kBytes, nullptr, &region), NPU_IPC_VENDOR_ERROR);
  EXPECT_EQ(npu_ipc_last_vendor_code(client_), 107002);
  EXPECT_THAT(LastError(), HasSubstr("aclrtSetDevice"));
}

TEST_F(PublishTest, AFailedExportPassesTheVendorsCodeOn) {
  Open();
  FakeVendor::Get().Fail("aclrtIpcMemGetExportKey", 507899);
  npu_ipc_region* region = nullptr;
  EXPECT_EQ(npu_ipc_publish(client_, "r", kMemory, kBytes, nullptr, &region), NPU_IPC_VENDOR_ERROR);
  EXPECT_EQ(npu_ipc_last_vendor_code(client_), 507899);
  EXPECT_THAT(LastError(), HasSubstr("aclrtIpcMemGetExportKey"));
  // Nothing is left behind: the same memory can be published when the vendor agrees.
  FakeVendor::Get().Fail("aclrtIpcMemGetExportKey", 0);
  EXPECT_NE(Publish("r", 1), nullptr);
}

TEST_F(PublishTest, WhitelistsOnTheLibrarysThreadWithTheCapturedContext) {
  Open();
  Publish("r", 5);
  const wire::Admitted admitted = Admit(MakeAdmit(5, 8001));
  EXPECT_EQ(admitted.status, wire::Status::kOk);
  EXPECT_EQ(admitted.vendor_code, 0);
  EXPECT_THAT(FakeVendor::Get().whitelisted(PublishedKey()), ElementsAre(8001));
  EXPECT_EQ(FakeVendor::Get().whitelisting_context(), kContext);
  EXPECT_EQ(FakeVendor::Get().Calls("rtEnableP2P"), 0);
}

TEST_F(PublishTest, PeerAccessIsEnabledOnceAPairAndReleasedWhenTheBrokerSays) {
  Open();
  Publish("r", 5);
  EXPECT_EQ(Admit(MakeAdmit(5, 8001, true)).status, wire::Status::kOk);
  EXPECT_EQ(Admit(MakeAdmit(5, 8002, true)).status, wire::Status::kOk);
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre("0>3"));
  connection_->Send(wire::PeerRelease{{}, kOwnPhysicalDevice, 3}, wire::MessageType::kPeerRelease,
                    0);
  EXPECT_EQ(Admit(MakeAdmit(5, 8003)).status, wire::Status::kOk);  // after it, in order
  EXPECT_TRUE(FakeVendor::Get().peers().empty());
  EXPECT_EQ(Admit(MakeAdmit(5, 8004, true)).status, wire::Status::kOk);
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre("0>3"));
  EXPECT_EQ(FakeVendor::Get().Calls("rtEnableP2P"), 2);
  npu_ipc_close(client_);
  client_ = nullptr;
  EXPECT_TRUE(FakeVendor::Get().peers().empty());
}

TEST_F(PublishTest, AFullPairOfDevicesIsToldApart) {
  Open();
  Publish("r", 5);
  FakeVendor::Get().Fail("rtEnableP2P", 207001);
  EXPECT_EQ(Admit(MakeAdmit(5, 8001, true)).status, wire::Status::kPeerLimit);
  FakeVendor::Get().Fail("rtEnableP2P", 507899);
  const wire::Admitted admitted = Admit(MakeAdmit(5, 8001, true));
  EXPECT_EQ(admitted.status, wire::Status::kUnreachable);
  EXPECT_EQ(admitted.vendor_code, 507899);
  EXPECT_TRUE(FakeVendor::Get().whitelisted(PublishedKey()).empty());
}

TEST_F(PublishTest, AFailedWhitelistingIsToldToTheBroker) {
  Open();
  Publish("r", 5);
  FakeVendor::Get().Fail("aclrtIpcMemSetImportPid", 507899);
  const wire::Admitted admitted = Admit(MakeAdmit(5, 8001));
  EXPECT_EQ(admitted.status, wire::Status::kExporterFailed);
  EXPECT_EQ(admitted.vendor_code, 507899);
}

TEST_F(PublishTest, AdmissionsOfUnknownRegionsAndPidsAreRefused) {
  Open();
  Publish("r", 5);
  EXPECT_EQ(Admit(MakeAdmit(6, 8001)).status, wire::Status::kExporterGone);
  EXPECT_EQ(Admit(MakeAdmit(5, 0)).status, wire::Status::kInternal);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemSetImportPid"), 0);
}

TEST_F(PublishTest, AnAdmissionPastItsDeadlineIsDropped) {
  Open();
  Publish("r", 5);
  FakeVendor::Get().BlockWhitelisting();
  connection_->Send(MakeAdmit(5, 8001), wire::MessageType::kAdmit, 1);
  FakeVendor::Get().WaitUntilWhitelistingBlocks();
  // Waits behind the vendor call for longer than it may.
  wire::Admit late = MakeAdmit(5, 8002);
  late.deadline_milliseconds = 0;
  connection_->Send(late, wire::MessageType::kAdmit, 2);
  connection_->Send(MakeAdmit(5, 8003), wire::MessageType::kAdmit, 3);
  FakeVendor::Get().UnblockWhitelisting();
  for (const uint64_t expected : {1u, 3u}) {
    const auto admitted = connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
    EXPECT_EQ(admitted.header.request_id, expected);
  }
  EXPECT_THAT(FakeVendor::Get().whitelisted(PublishedKey()), ElementsAre(8001, 8003));
}

// As a broker of 1.2 says it: the instant, which no time that the message lay somewhere moves.
class AdmitInstantTest : public PublishTest {
 protected:
  void SendUntil(int32_t pid, int64_t milliseconds_from_now, uint64_t request_id) {
    wire::Admit admit = MakeAdmit(5, pid);
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    admit.deadline_milliseconds = static_cast<uint32_t>(
        int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000 + milliseconds_from_now);
    admit.header = {wire::kVersionMajor, 2, wire::MessageType::kAdmit,
                    sizeof(admit),       0, request_id};
    connection_->SendRaw(&admit, sizeof(admit));
  }
};

TEST_F(AdmitInstantTest, IsCarriedOutBeforeItAndDroppedAfter) {
  Open();
  Publish("r", 5);
  SendUntil(8001, -1, 1);
  SendUntil(8002, -3'600'000, 2);
  SendUntil(8003, kDeadlineMilliseconds, 3);
  const auto admitted = connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
  EXPECT_EQ(admitted.header.request_id, 3U);
  EXPECT_THAT(FakeVendor::Get().whitelisted(PublishedKey()), ElementsAre(8003));
}

TEST_F(AdmitInstantTest, OfAClockThatIsNotOursIsDropped) {
  Open();
  Publish("r", 5);
  SendUntil(8001, int64_t{wire::kMaxDeadlineMilliseconds} + 1000, 1);
  SendUntil(8002, kDeadlineMilliseconds, 2);
  const auto admitted = connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
  EXPECT_EQ(admitted.header.request_id, 2U);
  EXPECT_THAT(FakeVendor::Get().whitelisted(PublishedKey()), ElementsAre(8002));
}

TEST_F(PublishTest, AnswersDoNotQueueBehindAVendorCallThatHasNotBegun) {
  Open();
  Publish("r", 5);
  // More admissions than are read at once, and an answer to a caller behind them.
  for (int i = 0; i < 200; ++i) {
    connection_->Send(MakeAdmit(5, 8000 + i), wire::MessageType::kAdmit, 1 + i);
  }
  for (int i = 0; i < 200; ++i) {
    const auto admitted = connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
    EXPECT_EQ(admitted.header.request_id, static_cast<uint64_t>(1 + i));
    EXPECT_EQ(admitted.status, wire::Status::kOk);
  }
  EXPECT_EQ(FakeVendor::Get().whitelisted(PublishedKey()).size(), 200u);
}

TEST_F(PublishTest, ADestroyedContextLosesItsRegions) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  FakeVendor::Get().Fail("aclrtSetCurrentContext", 107003);
  connection_->Send(MakeAdmit(5, 8001), wire::MessageType::kAdmit, 1);
  const auto withdraw = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  EXPECT_EQ(withdraw.region_id, 5u);
  EXPECT_EQ(withdraw.drain_milliseconds, 0u);
  const auto admitted = connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
  EXPECT_EQ(admitted.status, wire::Status::kExporterFailed);
  EXPECT_EQ(admitted.vendor_code, 107003);
  const npu_ipc_event event = NextEvent();
  EXPECT_EQ(event.type, NPU_IPC_EVENT_REGION_LOST);
  EXPECT_EQ(event.region, region);
  EXPECT_EQ(Info(region).withdrawn, 1);
  FakeVendor::Get().Fail("aclrtSetCurrentContext", 0);
  EXPECT_EQ(Admit(MakeAdmit(5, 8002)).status, wire::Status::kExporterGone);
}

TEST_F(PublishTest, WithdrawWaitsForImportersAndThenCloses) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 1234, 0); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  EXPECT_EQ(request.region_id, 5u);
  EXPECT_EQ(request.drain_milliseconds, 1234u);
  EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
  // Lets nobody in any more.
  EXPECT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kExporterGone);
  connection_->Send(wire::Withdrawn{{}, 5, wire::Status::kOk, 0, {}}, wire::MessageType::kWithdrawn,
                    request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(PublishTest, StillHeldKeepsTheRegionAndNamesTheHolders) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  wire::Withdrawn held = {};
  held.region_id = 5;
  held.status = wire::Status::kStillHeld;
  held.remaining = 1;
  strcpy(held.holders, "team-b/loader-0 (host pid 31337)");
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 10, 0); });
  auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Send(held, wire::MessageType::kWithdrawn, request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_STILL_HELD);
  EXPECT_THAT(LastError(), HasSubstr("team-b/loader-0 (host pid 31337)"));
  EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
  EXPECT_EQ(Info(region).withdrawn, 1);

  auto forced = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Send(held, wire::MessageType::kWithdrawn, request.header.request_id);
  EXPECT_EQ(forced.get(), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(PublishTest, ARegionThatTheBrokerForgotIsHeldByNobody) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 10, 0); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Refuse(request.header.request_id, wire::Status::kNotFound, "no such region");
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(PublishTest, WithdrawOnAThreadWithoutContextChangesNothing) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  for (const bool has_context : {false, true}) {
    auto withdrawn = std::async(std::launch::async, [region, has_context] {
      SetThreadContext(has_context ? kContext : nullptr);
      return npu_ipc_withdraw(region, 10, 0);
    });
    const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
    connection_->Send(wire::Withdrawn{{}, 5, wire::Status::kOk, 0, {}},
                      wire::MessageType::kWithdrawn, request.header.request_id);
    EXPECT_EQ(withdrawn.get(), has_context ? NPU_IPC_OK : NPU_IPC_VENDOR_ERROR);
    EXPECT_EQ(FakeVendor::Get().exported().size(), has_context ? 0u : 1u);
  }
}

TEST_F(PublishTest, AFailedCloseIsToldAndTheRegionEnds) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  FakeVendor::Get().Fail("aclrtIpcMemClose", 507899);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 10, 0); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Send(wire::Withdrawn{{}, 5, wire::Status::kOk, 0, {}}, wire::MessageType::kWithdrawn,
                    request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_VENDOR_ERROR);
  EXPECT_EQ(npu_ipc_last_vendor_code(client_), 507899);
}

TEST_F(PublishTest, ALatePublishedIsGivenBack) {
  Open(/*timeout_ms=*/100);
  npu_ipc_region* region = nullptr;
  auto published = PublishLater("r", &region);
  const auto request = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
  EXPECT_EQ(published.get(), NPU_IPC_TIMED_OUT);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
  connection_->Send(wire::Published{{}, 5, 1}, wire::MessageType::kPublished,
                    request.header.request_id);
  const auto withdraw = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  EXPECT_EQ(withdraw.region_id, 5u);
}

TEST_F(PublishTest, CloseWithdrawsWhatIsLeft) {
  Open();
  Publish("a", 5);
  Publish("b", 6, kOtherMemory);
  npu_ipc_close(client_);
  client_ = nullptr;
  for (const uint64_t region_id : {5u, 6u}) {
    const auto withdraw = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
    EXPECT_EQ(withdraw.region_id, region_id);
    EXPECT_EQ(withdraw.drain_milliseconds, 0u);
    const auto closed = connection_->Receive<wire::Closed>(wire::MessageType::kClosed);
    EXPECT_EQ(closed.region_id, region_id);
  }
  EXPECT_TRUE(connection_->Ended());
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(PublishTest, ErrorsNeverHoldTheKey) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  const std::string key = PublishedKey();
  FakeVendor::Get().Fail("aclrtIpcMemSetImportPid", 507899);
  Admit(MakeAdmit(5, 8001));
  EXPECT_THAT(LastError(), Not(HasSubstr(key)));
  FakeVendor::Get().Fail("aclrtIpcMemClose", 507899);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  const auto request = connection_->Receive<wire::Withdraw>(wire::MessageType::kWithdraw);
  connection_->Refuse(request.header.request_id, wire::Status::kInternal, "no");
  EXPECT_EQ(withdrawn.get(), NPU_IPC_VENDOR_ERROR);
  EXPECT_THAT(LastError(), Not(HasSubstr(key)));
}

}  // namespace
}  // namespace npu_ipc::test
