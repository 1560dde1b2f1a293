// A rolling upgrade: this library and a broker that speaks protocol 1.0, as it was released.
#include "tests/fixtures/wire_1_0.h"
#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::ElementsAre;
using wire_1_0::MessageType;

// Takes no message that a broker of 1.0 would not.
class OldBrokerTest : public ClientTest {
 protected:
  template <class M>
  M Take(MessageType type) {
    alignas(8) unsigned char buffer[wire_1_0::kMaxMessageBytes] = {};
    M message = {};
    EXPECT_EQ(connection_->ReceiveAny(buffer, sizeof(buffer)), sizeof(M));
    memcpy(&message, buffer, sizeof(M));
    EXPECT_EQ(message.header.version_major, 1);
    EXPECT_EQ(message.header.version_minor, 0);
    EXPECT_EQ(message.header.type, type);
    EXPECT_EQ(message.header.bytes, sizeof(M));
    return message;
  }
  template <class M>
  void Tell(M message, MessageType type, uint64_t request_id) {
    message.header = {1, 0, type, sizeof(M), 0, request_id};
    connection_->SendRaw(&message, sizeof(message));
  }
  void WelcomeOld() {
    const auto hello = Take<wire_1_0::Hello>(MessageType::kHello);
    wire_1_0::Welcome welcome = {};
    welcome.group_count = 1;
    strcpy(welcome.groups, "weights:both");
    Tell(welcome, MessageType::kWelcome, hello.header.request_id);
  }
  void OpenOld() {
    auto opened = OpenLater();
    connection_ = broker_.Accept();
    WelcomeOld();
    ASSERT_EQ(opened.get(), NPU_IPC_OK) << LastError();
  }
  npu_ipc_region* PublishOld(const char* name, uint64_t region_id, void* base = kMemory) {
    npu_ipc_region* region = nullptr;
    auto published = PublishLater(name, &region, base);
    const auto request = Take<wire_1_0::Publish>(MessageType::kPublish);
    Tell(wire_1_0::Published{{}, region_id, 1}, MessageType::kPublished, request.header.request_id);
    EXPECT_EQ(published.get(), NPU_IPC_OK) << LastError();
    return region;
  }
  npu_ipc_mapping* AttachOld(const char* name, uint64_t grant_id) {
    npu_ipc_mapping* mapping = nullptr;
    auto attached = AttachLater(name, &mapping);
    const auto request = Take<wire_1_0::Attach>(MessageType::kAttach);
    wire_1_0::Grant grant = {};
    grant.grant_id = grant_id;
    grant.generation = 1;
    grant.allocation_bytes = kBytes;
    grant.view_bytes = kBytes;
    grant.handle_kind = wire_1_0::HandleKind::kIpcKey;
    grant.exporter_physical_device = 1;
    grant.enable_peer_access = 1;
    memset(grant.handle, 'k', 64);
    Tell(grant, MessageType::kGrant, request.header.request_id);
    EXPECT_EQ(Take<wire_1_0::Imported>(MessageType::kImported).grant_id, grant_id);
    EXPECT_EQ(attached.get(), NPU_IPC_OK) << LastError();
    return mapping;
  }
  void AdmitOld(uint64_t region_id, int32_t pid) {
    wire_1_0::Admit admit = {};
    admit.region_id = region_id;
    admit.importer_host_pid = pid;
    admit.importer_physical_device = kOwnPhysicalDevice;
    admit.deadline_milliseconds = kDeadlineMilliseconds;
    Tell(admit, MessageType::kAdmit, 9);
    EXPECT_EQ(Take<wire_1_0::Admitted>(MessageType::kAdmitted).status, wire_1_0::Status::kOk);
  }
};

TEST_F(OldBrokerTest, IsSharedThroughAsEver) {
  OpenOld();
  npu_ipc_region* const region = PublishOld("r", 5);
  AdmitOld(5, 8001);
  npu_ipc_mapping* const mapping = AttachOld("m", 50);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_EQ(Take<wire_1_0::Detached>(MessageType::kDetached).grant_id, 50u);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 10, 0); });
  const auto request = Take<wire_1_0::Withdraw>(MessageType::kWithdraw);
  Tell(wire_1_0::Withdrawn{{}, 5, wire_1_0::Status::kOk, 0, {}}, MessageType::kWithdrawn,
       request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
}

TEST_F(OldBrokerTest, RegionsAreLostToItAndMappingsGoOn) {
  Open();  // to one of today, that was replaced by an older one
  npu_ipc_region* const region = Publish("r", 5);
  npu_ipc_mapping* const mapping = Attach("m", 50, /*peer_access=*/true);
  broker_.Stop();
  connection_->Close();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
  broker_.Listen();
  connection_ = broker_.Accept();
  WelcomeOld();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_REGION_LOST);
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_RECONNECTED);
  EXPECT_EQ(Info(region).withdrawn, 1);
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_LIVE);

  PublishOld("r", 1);  // the first that it hears after Hello
  Tell(wire_1_0::PeerRelease{{}, kOwnPhysicalDevice, 1}, MessageType::kPeerRelease, 0);
  AdmitOld(1, 8001);
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre("0>1")) << "the mapping uses it";
}

TEST_F(OldBrokerTest, PeerAccessOfARegionThatItDoesNotKnowIsKept) {
  Open();
  Publish("r", 5);
  EXPECT_EQ(Admit(MakeAdmit(5, 8001, /*peer_access=*/true)).status, wire::Status::kOk);
  broker_.Stop();
  connection_->Close();
  broker_.Listen();
  connection_ = broker_.Accept();
  WelcomeOld();
  PublishOld("s", 1, kOtherMemory);
  Tell(wire_1_0::PeerRelease{{}, kOwnPhysicalDevice, 3}, MessageType::kPeerRelease, 0);
  AdmitOld(1, 8002);
  EXPECT_THAT(FakeVendor::Get().peers(), ElementsAre("0>3"));
}

TEST_F(OldBrokerTest, IsNotToldThatAnExportWasClosed) {
  OpenOld();
  npu_ipc_region* const region = PublishOld("r", 5);
  PublishOld("s", 6, kOtherMemory);
  auto withdrawn = Later([region] { return npu_ipc_withdraw(region, 0, 1); });
  const auto request = Take<wire_1_0::Withdraw>(MessageType::kWithdraw);
  Tell(wire_1_0::Withdrawn{{}, 5, wire_1_0::Status::kStillHeld, 1, "x"}, MessageType::kWithdrawn,
       request.header.request_id);
  EXPECT_EQ(withdrawn.get(), NPU_IPC_OK);
  AdmitOld(6, 8001);  // the next that it hears
}

TEST_F(OldBrokerTest, IsReplacedByOneOfToday) {
  OpenOld();
  PublishOld("r", 5);
  AttachOld("m", 50);
  broker_.Stop();
  connection_->Close();
  broker_.Listen();
  connection_ = broker_.Accept();
  connection_->Welcome();
  connection_->Receive<wire::PeerHeld>(wire::MessageType::kPeerHeld);
  EXPECT_EQ(connection_->Receive<wire::ReclaimRegion>(wire::MessageType::kReclaimRegion).generation,
            1u);
  EXPECT_STREQ(connection_->Receive<wire::ReclaimMapping>(wire::MessageType::kReclaimMapping).name,
               "m");
  connection_->ReceiveReclaimDone();
}

}  // namespace
}  // namespace npu_ipc::test
