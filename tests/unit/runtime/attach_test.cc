// npu_ipc_attach, what is told of a mapping, npu_ipc_detach: the importer's side.
#include <poll.h>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using AttachTest = ClientTest;

TEST_F(AttachTest, ImportsWhatIsGranted) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = Later([this, &mapping] {
    npu_ipc_attach_options options = {};
    options.struct_bytes = sizeof(options);
    options.group = "weights";
    options.wait_ms = 20000;
    return npu_ipc_attach(client_, "rank-0", &options, &mapping);
  });
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  EXPECT_STREQ(request.group, "weights");
  EXPECT_STREQ(request.name, "rank-0");
  EXPECT_EQ(request.claimed_physical_device, kOwnPhysicalDevice);
  EXPECT_LT(request.wait_milliseconds, 20000u);  // so that the broker's words arrive in time
  EXPECT_GT(request.wait_milliseconds, 10000u);
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  const auto imported = connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  EXPECT_EQ(imported.grant_id, 50u);
  EXPECT_EQ(imported.status, wire::Status::kOk);
  ASSERT_EQ(attached.get(), NPU_IPC_OK);

  const npu_ipc_mapping_info info = Info(mapping);
  EXPECT_EQ(info.dev_ptr, kImportBase + 4096);  // the view, not the allocation
  EXPECT_EQ(info.bytes, 8192u);
  EXPECT_EQ(info.generation, 3u);
  EXPECT_EQ(info.state, NPU_IPC_MAPPING_LIVE);
  EXPECT_EQ(info.device, kOwnPhysicalDevice);
  EXPECT_EQ(info.exporter_device, 1u);
  EXPECT_EQ(info.exporter_host_pid, 31337);
  EXPECT_STREQ(info.exporter_namespace, "team-b");
  EXPECT_STREQ(info.exporter_pod, "loader-0");
  EXPECT_STREQ(info.exporter_pod_uid, "uid-b");
  EXPECT_EQ(FakeVendor::Get().imported().count(GrantKey()), 1u);
  EXPECT_EQ(FakeVendor::Get().Calls("rtEnableP2P"), 0);

  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_EQ(connection_->Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 50u);
  EXPECT_TRUE(FakeVendor::Get().imported().empty());
}

TEST_F(AttachTest, PeerAccessComesBeforeTheImport) {
  Open();
  npu_ipc_mapping* const mapping = Attach("r", 50, /*peer_access=*/true);
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre("0>1"));
  // Not taken away under a live mapping, whatever a restarted broker thinks.
  connection_->Send(wire::PeerRelease{{}, kOwnPhysicalDevice, 1}, wire::MessageType::kPeerRelease,
                    0);
  npu_ipc_mapping* const second = Attach("r", 51, /*peer_access=*/true);
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre("0>1"));
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(second), NPU_IPC_OK);
}

TEST_F(AttachTest, TheSameRegionTwiceIsTwoImportsOfOneKey) {
  Open();
  npu_ipc_mapping* const first = Attach("r", 50);
  npu_ipc_mapping* const second = Attach("r", 51);
  EXPECT_EQ(Info(first).dev_ptr, Info(second).dev_ptr);
  EXPECT_EQ(npu_ipc_detach(first), NPU_IPC_OK);
  EXPECT_EQ(FakeVendor::Get().imported()[GrantKey()], 1);
  EXPECT_EQ(npu_ipc_detach(second), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().imported().empty());
}

class AttachRefusedTest : public ClientTest,
                          public ::testing::WithParamInterface<std::pair<wire::Status, int>> {};

TEST_P(AttachRefusedTest, IsPassedOnInTheBrokersWords) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Refuse(request.header.request_id, GetParam().first, "because of this and that",
                      507899);
  EXPECT_EQ(attached.get(), GetParam().second);
  EXPECT_EQ(mapping, nullptr);
  EXPECT_EQ(LastError(), "because of this and that");
  EXPECT_EQ(npu_ipc_last_vendor_code(client_), 507899);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemImportByKey"), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Statuses, AttachRefusedTest,
    ::testing::Values(std::pair(wire::Status::kNoGroup, NPU_IPC_NO_GROUP),
                      std::pair(wire::Status::kNotInGroup, NPU_IPC_NOT_IN_GROUP),
                      std::pair(wire::Status::kRoleDenied, NPU_IPC_ROLE_DENIED),
                      std::pair(wire::Status::kTimedOut, NPU_IPC_TIMED_OUT),
                      std::pair(wire::Status::kExporterGone, NPU_IPC_EXPORTER_GONE),
                      std::pair(wire::Status::kExporterFailed, NPU_IPC_EXPORTER_FAILED),
                      std::pair(wire::Status::kUnreachable, NPU_IPC_UNREACHABLE),
                      std::pair(wire::Status::kPeerLimit, NPU_IPC_PEER_LIMIT),
                      std::pair(wire::Status::kMalformed, NPU_IPC_MALFORMED)));

TEST_F(AttachTest, MistakesAreNamedBeforeAnybodyIsAsked) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  const std::string long_name(128, 'n');
  EXPECT_EQ(npu_ipc_attach(nullptr, "r", nullptr, &mapping), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_attach(client_, "r", nullptr, nullptr), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_attach(client_, nullptr, nullptr, &mapping), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_attach(client_, "", nullptr, &mapping), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_attach(client_, long_name.c_str(), nullptr, &mapping),
            NPU_IPC_INVALID_ARGUMENT);
  npu_ipc_attach_options options = {};
  EXPECT_EQ(npu_ipc_attach(client_, "r", &options, &mapping), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_detach(nullptr), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_mapping_get_info(nullptr, nullptr), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_FALSE(connection_->Readable());
}

TEST_F(AttachTest, AThreadWithoutContextIsToldSo) {
  Open();
  SetThreadContext(nullptr);
  npu_ipc_mapping* mapping = nullptr;
  EXPECT_EQ(npu_ipc_attach(client_, "r", nullptr, &mapping), NPU_IPC_VENDOR_ERROR);
  EXPECT_EQ(npu_ipc_last_vendor_code(client_), 107002);
}

TEST_F(AttachTest, AFailedImportGivesTheGrantBack) {
  Open();
  FakeVendor::Get().Fail("aclrtIpcMemImportByKey", 507899);
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  const auto imported = connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  EXPECT_EQ(imported.grant_id, 50u);
  EXPECT_NE(imported.status, wire::Status::kOk);
  EXPECT_EQ(imported.vendor_code, 507899);
  EXPECT_EQ(attached.get(), NPU_IPC_VENDOR_ERROR);
  EXPECT_EQ(npu_ipc_last_vendor_code(client_), 507899);
}

TEST_F(AttachTest, AFullPairOfDevicesIsToldApart) {
  Open();
  FakeVendor::Get().Fail("rtEnableP2P", 207001);
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Send(MakeGrant(50, true), wire::MessageType::kGrant, request.header.request_id);
  const auto imported = connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  EXPECT_EQ(imported.status, wire::Status::kPeerLimit);
  EXPECT_EQ(attached.get(), NPU_IPC_PEER_LIMIT);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemImportByKey"), 0);
}

TEST_F(AttachTest, AGrantThatCannotBeImportedIsGivenBack) {
  Open();
  wire::Grant grants[4] = {MakeGrant(50), MakeGrant(51), MakeGrant(52), MakeGrant(53)};
  grants[0].handle_kind = wire::HandleKind::kFabric;
  memset(grants[1].handle, 'k', sizeof(grants[1].handle));
  grants[2].view_offset = kBytes - 1;
  grants[3].handle[0] = 0;
  const npu_ipc_status expected[4] = {NPU_IPC_UNSUPPORTED, NPU_IPC_MALFORMED, NPU_IPC_MALFORMED,
                                      NPU_IPC_MALFORMED};
  for (int i = 0; i < 4; ++i) {
    npu_ipc_mapping* mapping = nullptr;
    auto attached = AttachLater("r", &mapping);
    const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
    connection_->Send(grants[i], wire::MessageType::kGrant, request.header.request_id);
    const auto imported = connection_->Receive<wire::Imported>(wire::MessageType::kImported);
    EXPECT_EQ(imported.grant_id, grants[i].grant_id);
    EXPECT_NE(imported.status, wire::Status::kOk);
    EXPECT_EQ(attached.get(), expected[i]) << i;
  }
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemImportByKey"), 0);
}

TEST_F(AttachTest, ALateGrantIsGivenBack) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping, /*wait_ms=*/50);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  EXPECT_EQ(attached.get(), NPU_IPC_TIMED_OUT);
  EXPECT_THAT(LastError(), HasSubstr("did not answer"));
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  const auto imported = connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  EXPECT_EQ(imported.grant_id, 50u);
  EXPECT_EQ(imported.status, wire::Status::kTimedOut);
  EXPECT_EQ(FakeVendor::Get().Calls("aclrtIpcMemImportByKey"), 0);
}

TEST_F(AttachTest, CallersWaitSideBySide) {
  Open();
  npu_ipc_mapping* slow = nullptr;
  auto attached_slow = AttachLater("slow", &slow);
  const auto slow_request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  npu_ipc_mapping* const quick = Attach("quick", 51);
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, slow_request.header.request_id);
  EXPECT_EQ(connection_->Receive<wire::Imported>(wire::MessageType::kImported).grant_id, 50u);
  EXPECT_EQ(attached_slow.get(), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(quick), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(slow), NPU_IPC_OK);
}

TEST_F(AttachTest, WithdrawalsAreAnEventAndAState) {
  Open();
  npu_ipc_mapping* const mapping = Attach("r", 50);
  const struct {
    wire::WithdrawReason reason;
    npu_ipc_mapping_state state;
    npu_ipc_event_type event;
  } cases[] = {
      {wire::WithdrawReason::kWithdrawn, NPU_IPC_MAPPING_WITHDRAWING, NPU_IPC_EVENT_WITHDRAWING},
      {wire::WithdrawReason::kRevoked, NPU_IPC_MAPPING_REVOKED, NPU_IPC_EVENT_REVOKED},
      {wire::WithdrawReason::kExporterGone, NPU_IPC_MAPPING_EXPORTER_GONE,
       NPU_IPC_EVENT_EXPORTER_GONE},
  };
  for (const auto& expected : cases) {
    connection_->Send(wire::Withdrawing{{}, 50, expected.reason, 1000},
                      wire::MessageType::kWithdrawing, 0);
    const npu_ipc_event event = NextEvent();
    EXPECT_EQ(event.type, expected.event);
    EXPECT_EQ(event.mapping, mapping);
    EXPECT_EQ(event.region, nullptr);
    EXPECT_EQ(Info(mapping).state, expected.state);
  }
  // A dead mapping stays dead, and the library closes nothing by itself.
  connection_->Send(wire::Withdrawing{{}, 50, wire::WithdrawReason::kWithdrawn, 0},
                    wire::MessageType::kWithdrawing, 0);
  npu_ipc_mapping* const other = Attach("r", 51);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_EXPORTER_GONE);
  EXPECT_EQ(FakeVendor::Get().imported()[GrantKey()], 2);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(other), NPU_IPC_OK);
}

TEST_F(AttachTest, EventsOfAMappingEndWithIt) {
  Open();
  npu_ipc_mapping* const first = Attach("r", 50);
  npu_ipc_mapping* const second = Attach("r", 51);
  connection_->Send(wire::Withdrawing{{}, 50, wire::WithdrawReason::kWithdrawn, 0},
                    wire::MessageType::kWithdrawing, 0);
  connection_->Send(wire::Withdrawing{{}, 51, wire::WithdrawReason::kWithdrawn, 0},
                    wire::MessageType::kWithdrawing, 0);
  connection_->Send(wire::Withdrawing{{}, 99, wire::WithdrawReason::kWithdrawn, 0},
                    wire::MessageType::kWithdrawing, 0);
  npu_ipc_mapping* const third = Attach("r", 52);  // after those, in order
  EXPECT_EQ(npu_ipc_detach(first), NPU_IPC_OK);
  EXPECT_EQ(NextEvent().mapping, second);
  npu_ipc_event event = {};
  event.struct_bytes = sizeof(event);
  EXPECT_EQ(npu_ipc_next_event(client_, 0, &event), NPU_IPC_NO_EVENT);
  EXPECT_EQ(npu_ipc_detach(second), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(third), NPU_IPC_OK);
}

TEST_F(AttachTest, TheEventDescriptorIsReadableWhileAnEventWaits) {
  Open();
  npu_ipc_mapping* const mapping = Attach("r", 50);
  pollfd entry = {npu_ipc_event_fd(client_), POLLIN, 0};
  ASSERT_GE(entry.fd, 0);
  EXPECT_EQ(npu_ipc_event_fd(client_), entry.fd);
  EXPECT_EQ(::poll(&entry, 1, 0), 0);
  for (int i = 0; i < 2; ++i) {
    connection_->Send(wire::Withdrawing{{}, 50, wire::WithdrawReason::kWithdrawn, 0},
                      wire::MessageType::kWithdrawing, 0);
    EXPECT_EQ(::poll(&entry, 1, kDeadlineMilliseconds), 1);
    EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_WITHDRAWING);
    EXPECT_EQ(::poll(&entry, 1, 0), 0);
  }
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(AttachTest, AnExporterThatEndsDuringTheImportIsNamed) {
  Open();
  FakeVendor::Get().Fail("aclrtIpcMemImportByKey", 507899);
  npu_ipc_mapping* mapping = nullptr;
  auto attached =
      Later([this, &mapping] { return npu_ipc_attach(client_, "r", nullptr, &mapping); });
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  FakeVendor::Get().mutex.lock();  // the import waits
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  connection_->Send(wire::Withdrawing{{}, 50, wire::WithdrawReason::kExporterGone, 0},
                    wire::MessageType::kWithdrawing, 0);
  // Until the library's thread has taken it: it answers what follows.
  connection_->Send(MakeAdmit(1, 1), wire::MessageType::kAdmit, 9);
  connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
  FakeVendor::Get().mutex.unlock();
  connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  EXPECT_EQ(attached.get(), NPU_IPC_EXPORTER_GONE);
}

TEST_F(AttachTest, WhatHappensDuringTheImportIsToldAfterIt) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  FakeVendor::Get().mutex.lock();  // the import waits
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  connection_->Send(wire::Withdrawing{{}, 50, wire::WithdrawReason::kWithdrawn, 0},
                    wire::MessageType::kWithdrawing, 0);
  connection_->Send(MakeAdmit(1, 1), wire::MessageType::kAdmit, 9);
  connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
  npu_ipc_event event = {};
  event.struct_bytes = sizeof(event);
  EXPECT_EQ(npu_ipc_next_event(client_, 0, &event), NPU_IPC_NO_EVENT);
  FakeVendor::Get().mutex.unlock();
  connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  EXPECT_EQ(attached.get(), NPU_IPC_OK);
  EXPECT_EQ(NextEvent().mapping, mapping);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(AttachTest, DetachOnAThreadWithoutContextChangesNothing) {
  Open();
  npu_ipc_mapping* const mapping = Attach("r", 50);
  SetThreadContext(nullptr);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_VENDOR_ERROR);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_LIVE);
  EXPECT_FALSE(connection_->Readable());
  SetThreadContext(kContext);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(AttachTest, AFailedCloseIsToldAndTheMappingEnds) {
  Open();
  npu_ipc_mapping* const mapping = Attach("r", 50);
  FakeVendor::Get().Fail("aclrtIpcMemClose", 507899);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_VENDOR_ERROR);
  EXPECT_EQ(connection_->Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 50u);
}

TEST_F(AttachTest, CloseLeavesMappingsMapped) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  // A device of its own each time: what stays enabled after close stays for what follows, too.
  static uint32_t exporter_device = 100;
  wire::Grant grant = MakeGrant(50, /*peer_access=*/true);
  grant.exporter_physical_device = ++exporter_device;
  connection_->Send(grant, wire::MessageType::kGrant, request.header.request_id);
  connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  ASSERT_EQ(attached.get(), NPU_IPC_OK);
  npu_ipc_close(client_);
  client_ = nullptr;
  EXPECT_TRUE(connection_->Ended());
  EXPECT_EQ(FakeVendor::Get().imported()[GrantKey()], 1);
  const std::string pair = "0>" + std::to_string(exporter_device);
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre(pair));
  // Nor does another client that comes and goes end it.
  Open();
  npu_ipc_close(client_);
  client_ = nullptr;
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre(pair));
}

}  // namespace
}  // namespace npu_ipc::test
