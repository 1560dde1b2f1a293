// A broker that goes away, comes back, or says what makes no sense.
#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::HasSubstr;
using BrokerFaultsTest = ClientTest;

TEST_F(BrokerFaultsTest, ADisconnectIsToldAndMappingsGoOn) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  npu_ipc_mapping* const mapping = Attach("m", 50);
  connection_->Close();
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
  EXPECT_EQ(Info(region).withdrawn, 0) << "the next broker is told of it";
  EXPECT_EQ(Info(mapping).state, NPU_IPC_MAPPING_LIVE);
  EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
  // The program can go on without any broker.
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().imported().empty());
}

TEST_F(BrokerFaultsTest, ARegionIsNotClosedUnderItsImportersWithoutABrokerUnlessForced) {
  Open(/*timeout_ms=*/500);
  npu_ipc_region* const region = Publish("r", 5);
  broker_.Stop();
  connection_->Close();
  EXPECT_EQ(npu_ipc_withdraw(region, 1, 0), NPU_IPC_DISCONNECTED);
  EXPECT_THAT(LastError(), HasSubstr("force"));
  EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
  EXPECT_EQ(npu_ipc_withdraw(region, 1, 1), NPU_IPC_OK);
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
}

TEST_F(BrokerFaultsTest, PublishAgainAfterALossUsesTheSameKey) {
  Open();
  npu_ipc_region* const lost = Publish("r", 5);
  const std::string key = PublishedKey();
  connection_->Close();
  connection_ = broker_.Accept();
  connection_->Welcome(/*speaks_minor=*/0);
  EXPECT_EQ(NextEventBesides(NPU_IPC_EVENT_DISCONNECTED).type, NPU_IPC_EVENT_REGION_LOST);
  npu_ipc_region* region = nullptr;
  auto published = PublishLater("r", &region);
  const auto request = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
  EXPECT_EQ(reinterpret_cast<const char*>(request.handle), key);
  connection_->Send(wire::Published{{}, 5, 2}, wire::MessageType::kPublished,
                    request.header.request_id);
  ASSERT_EQ(published.get(), NPU_IPC_OK);
  // The old region's end closes nothing: its key is the new one's.
  EXPECT_EQ(npu_ipc_withdraw(lost, 1000, 0), NPU_IPC_OK);
  EXPECT_EQ(FakeVendor::Get().exported().size(), 1u);
  EXPECT_FALSE(connection_->Readable());
  EXPECT_EQ(Info(region).generation, 2u);
}

TEST_F(BrokerFaultsTest, ACallOutlastsABrokersRestart) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  broker_.Stop();
  connection_->Close();
  broker_.Listen();
  connection_ = broker_.Accept();
  connection_->Welcome(/*speaks_minor=*/0);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  EXPECT_STREQ(request.name, "r");
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  EXPECT_EQ(connection_->Receive<wire::Imported>(wire::MessageType::kImported).grant_id, 50u);
  ASSERT_EQ(attached.get(), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
  EXPECT_EQ(connection_->Receive<wire::Detached>(wire::MessageType::kDetached).grant_id, 50u);
}

TEST_F(BrokerFaultsTest, ABrokerThatStaysAwayIsNotWaitedForLongerThanAllowed) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping, /*wait_ms=*/100);
  connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  broker_.Stop();
  connection_->Close();
  EXPECT_EQ(attached.get(), NPU_IPC_NO_BROKER);
  EXPECT_THAT(LastError(), HasSubstr(broker_.path()));
}

TEST_F(BrokerFaultsTest, ADetachAfterARestartIsNotToldToABrokerThatDoesNotKnowTheMapping) {
  Open();
  npu_ipc_mapping* const old = Attach("r", 50);
  connection_->Close();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  connection_ = broker_.Accept();
  connection_->Welcome(/*speaks_minor=*/0);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  ASSERT_EQ(attached.get(), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(old), NPU_IPC_OK);
  EXPECT_FALSE(connection_->Readable());
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(BrokerFaultsTest, ReconnectMeansReconnect) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Refuse(request.header.request_id, wire::Status::kReconnect, "open your own");
  connection_ = broker_.Accept();
  connection_->Welcome(/*speaks_minor=*/0);
  request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  ASSERT_EQ(attached.get(), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(BrokerFaultsTest, ReconnectIsNeverReturned) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping, /*wait_ms=*/50);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  broker_.Stop();
  connection_->Refuse(request.header.request_id, wire::Status::kReconnect, "open your own");
  const npu_ipc_status status = attached.get();
  EXPECT_TRUE(status == NPU_IPC_NO_BROKER || status == NPU_IPC_DISCONNECTED)
      << npu_ipc_status_name(status);
}

// Messages that end the connection: the two ends do not understand each other.
struct Nonsense {
  const char* name;
  std::vector<unsigned char> (*make)(uint64_t request_id);
};

template <class T>
std::vector<unsigned char> Bytes(T message) {
  const auto* begin = reinterpret_cast<const unsigned char*>(&message);
  return {begin, begin + sizeof(T)};
}

wire::Refused MakeRefused(uint64_t request_id) {
  wire::Refused refused = {};
  refused.header = {
      wire::kVersionMajor, wire::kVersionMinor, wire::MessageType::kRefused, sizeof(refused), 0,
      request_id};
  refused.status = wire::Status::kNotFound;
  return refused;
}

const Nonsense kNonsense[] = {
    {"HalfAHeader", [](uint64_t) { return std::vector<unsigned char>(12, 0); }},
    {"Truncated",
     [](uint64_t id) {
       auto bytes = Bytes(MakeRefused(id));
       bytes.resize(100);
       return bytes;
     }},
    {"TruncatedAndSaysSo",
     [](uint64_t id) {
       auto refused = MakeRefused(id);
       refused.header.bytes = 100;
       auto bytes = Bytes(refused);
       bytes.resize(100);
       return bytes;
     }},
    {"Oversized",
     [](uint64_t id) {
       auto bytes = Bytes(MakeRefused(id));
       bytes.resize(8192);
       return bytes;
     }},
    {"WrongSizeField",
     [](uint64_t id) {
       auto refused = MakeRefused(id);
       refused.header.bytes += 8;
       return Bytes(refused);
     }},
    {"OtherMajorVersion",
     [](uint64_t id) {
       wire::Grant grant = {};
       grant.header = {2, 0, wire::MessageType::kGrant, sizeof(grant), 0, id};
       return Bytes(grant);
     }},
    {"TextWithoutEnd",
     [](uint64_t id) {
       auto refused = MakeRefused(id);
       memset(refused.reason, 'x', sizeof(refused.reason));
       return Bytes(refused);
     }},
    {"AnswerToSomethingElse",
     [](uint64_t id) {
       wire::Published published = {};
       published.header = {wire::kVersionMajor,
                           wire::kVersionMinor,
                           wire::MessageType::kPublished,
                           sizeof(published),
                           0,
                           id};
       return Bytes(published);
     }},
};

class NonsenseTest : public ClientTest, public ::testing::WithParamInterface<Nonsense> {};

TEST_P(NonsenseTest, EndsTheConnectionAndTheCall) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  const auto bytes = GetParam().make(request.header.request_id);
  connection_->SendRaw(bytes.data(), bytes.size());
  EXPECT_EQ(attached.get(), NPU_IPC_MALFORMED);
  EXPECT_THAT(LastError(), HasSubstr("makes no sense"));
  EXPECT_TRUE(connection_->Ended());
  EXPECT_EQ(NextEvent().type, NPU_IPC_EVENT_DISCONNECTED);
}

INSTANTIATE_TEST_SUITE_P(Messages, NonsenseTest, ::testing::ValuesIn(kNonsense),
                         [](const auto& test) { return test.param.name; });

TEST_F(BrokerFaultsTest, NonsenseInsteadOfAWelcome) {
  auto opened = OpenLater();
  connection_ = broker_.Accept();
  connection_->Receive<wire::Hello>(wire::MessageType::kHello);
  connection_->SendRaw("?", 1);
  EXPECT_EQ(opened.get(), NPU_IPC_MALFORMED);
  EXPECT_TRUE(connection_->Ended());
}

TEST_F(BrokerFaultsTest, MessagesOfTypesToComeAreSkipped) {
  Open();
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("r", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Send(wire::Detached{}, static_cast<wire::MessageType>(127), 0);
  connection_->Send(wire::Published{}, wire::MessageType::kHello, 0);
  connection_->Send(MakeGrant(50), wire::MessageType::kGrant, request.header.request_id);
  connection_->Receive<wire::Imported>(wire::MessageType::kImported);
  ASSERT_EQ(attached.get(), NPU_IPC_OK);
  EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
}

TEST_F(BrokerFaultsTest, AnswersThatNobodyAskedForAreHarmless) {
  Open();
  npu_ipc_region* const region = Publish("r", 5);
  connection_->Refuse(99, wire::Status::kNotFound, "what?");
  connection_->Send(wire::Withdrawn{{}, 5, wire::Status::kOk, 0, {}}, wire::MessageType::kWithdrawn,
                    98);
  EXPECT_EQ(Admit(MakeAdmit(5, 8001)).status, wire::Status::kOk);
  EXPECT_EQ(Info(region).withdrawn, 0);
}

TEST_F(BrokerFaultsTest, ABrokerThatReadsNothingHoldsNobody) {
  Open(/*timeout_ms=*/100);
  // Many more requests than the socket has room for.
  for (int i = 0; i < 800; ++i) {
    npu_ipc_mapping* mapping = nullptr;
    npu_ipc_attach_options options = {};
    options.struct_bytes = sizeof(options);
    options.wait_ms = 1;
    ASSERT_EQ(npu_ipc_attach(client_, "r", &options, &mapping), NPU_IPC_TIMED_OUT);
  }
}

}  // namespace
}  // namespace npu_ipc::test
