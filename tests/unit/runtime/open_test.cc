// npu_ipc_open and npu_ipc_whoami: who we are, and why not.
#include <stdlib.h>

#include <chrono>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using OpenTest = ClientTest;

TEST_F(OpenTest, IntroducesItselfAndLearnsWhoItIs) {
  auto opened = OpenLater();
  connection_ = broker_.Accept();
  const wire::Hello hello = connection_->Welcome();
  ASSERT_EQ(opened.get(), NPU_IPC_OK);
  EXPECT_EQ(hello.claimed_pid, ::getpid());
  EXPECT_EQ(hello.claimed_bare_tgid, 0);  // the vendor's "-1, success" is no answer
  EXPECT_STREQ(hello.library_version, npu_ipc_version());

  npu_ipc_identity identity = {};
  identity.struct_bytes = sizeof(identity);
  ASSERT_EQ(npu_ipc_whoami(client_, &identity), NPU_IPC_OK);
  EXPECT_EQ(identity.struct_bytes, sizeof(identity));
  EXPECT_EQ(identity.pid, ::getpid());
  EXPECT_EQ(identity.host_pid, 4242);
  EXPECT_STREQ(identity.pod_namespace, "team-a");
  EXPECT_STREQ(identity.pod_name, "trainer-0");
  EXPECT_STREQ(identity.pod_uid, "0c9a3a8e-1111-2222-3333-444455556666");
  EXPECT_STREQ(identity.container_id, "c0ffee");
  EXPECT_STREQ(identity.container_name, "main");
  EXPECT_STREQ(identity.groups, "weights:both");
}

TEST_F(OpenTest, AnOlderCallersStructIsNotOverrun) {
  Open();
  npu_ipc_identity identity;
  memset(&identity, 0x5A, sizeof(identity));
  identity.struct_bytes = offsetof(npu_ipc_identity, pod_name);
  ASSERT_EQ(npu_ipc_whoami(client_, &identity), NPU_IPC_OK);
  EXPECT_STREQ(identity.pod_namespace, "team-a");
  EXPECT_EQ(identity.pod_name[0], 0x5A);
}

TEST_F(OpenTest, TakesTheSocketFromTheEnvironment) {
  ASSERT_EQ(::setenv("NPU_IPC_SOCKET", broker_.path().c_str(), 1), 0);
  auto opened = Later([this] { return npu_ipc_open(nullptr, &client_); });
  connection_ = broker_.Accept();
  connection_->Welcome();
  EXPECT_EQ(opened.get(), NPU_IPC_OK);
  ::unsetenv("NPU_IPC_SOCKET");
}

TEST_F(OpenTest, NobodyListens) {
  broker_.Stop();
  EXPECT_EQ(OpenLater(50).get(), NPU_IPC_NO_BROKER);
  ASSERT_NE(client_, nullptr);
  EXPECT_THAT(LastError(), ::testing::HasSubstr(broker_.path()));
  npu_ipc_identity identity = {};
  identity.struct_bytes = sizeof(identity);
  EXPECT_EQ(npu_ipc_whoami(client_, &identity), NPU_IPC_NO_BROKER);
  npu_ipc_region* region = nullptr;
  EXPECT_EQ(npu_ipc_publish(client_, "r", kMemory, kBytes, nullptr, &region), NPU_IPC_NO_BROKER);
  EXPECT_EQ(FakeVendor::Get().exported().size(), 0u);
}

TEST_F(OpenTest, ABrokerThatComesWithinTheWaitIsFound) {
  broker_.Stop();
  auto opened = OpenLater();
  broker_.Listen();
  connection_ = broker_.Accept();
  connection_->Welcome();
  EXPECT_EQ(opened.get(), NPU_IPC_OK);
}

TEST_F(OpenTest, ABrokerThatEndsDuringTheHandshakeIsTriedAgain) {
  auto opened = OpenLater();
  broker_.Accept()->Close();
  connection_ = broker_.Accept();
  connection_->Welcome();
  EXPECT_EQ(opened.get(), NPU_IPC_OK);
}

TEST_F(OpenTest, ABrokerThatDoesNotAnswerIsNotWaitedForLongerThanAllowed) {
  EXPECT_EQ(OpenLater(50).get(), NPU_IPC_TIMED_OUT);
  EXPECT_THAT(LastError(), ::testing::HasSubstr("did not answer"));
}

TEST_F(OpenTest, ASocketPathThatIsTooLongIsNamed) {
  const std::string path(108, 'x');
  npu_ipc_open_options options = {};
  options.struct_bytes = sizeof(options);
  options.socket_path = path.c_str();
  EXPECT_EQ(npu_ipc_open(&options, &client_), NPU_IPC_INVALID_ARGUMENT);
  ASSERT_NE(client_, nullptr);
  EXPECT_THAT(LastError(), ::testing::HasSubstr(path));
}

TEST_F(OpenTest, NullsAndUnsetSizesAreRefused) {
  EXPECT_EQ(npu_ipc_open(nullptr, nullptr), NPU_IPC_INVALID_ARGUMENT);
  npu_ipc_open_options options = {};
  EXPECT_EQ(npu_ipc_open(&options, &client_), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(client_, nullptr);
  npu_ipc_close(nullptr);
  npu_ipc_identity identity = {};
  identity.struct_bytes = sizeof(identity);
  EXPECT_EQ(npu_ipc_whoami(nullptr, &identity), NPU_IPC_INVALID_ARGUMENT);
  Open();
  EXPECT_EQ(npu_ipc_whoami(client_, nullptr), NPU_IPC_INVALID_ARGUMENT);
  identity.struct_bytes = 0;
  EXPECT_EQ(npu_ipc_whoami(client_, &identity), NPU_IPC_INVALID_ARGUMENT);
  char text[1];
  EXPECT_EQ(npu_ipc_last_error(client_, text, 0), NPU_IPC_INVALID_ARGUMENT);
  EXPECT_EQ(npu_ipc_last_error(client_, nullptr, 1), NPU_IPC_INVALID_ARGUMENT);
}

// Each status that a broker may refuse a handshake with reaches the program, with the broker's
// words.
class OpenRefusedTest : public ClientTest,
                        public ::testing::WithParamInterface<std::pair<wire::Status, int>> {};

TEST_P(OpenRefusedTest, IsPassedOnInTheBrokersWords) {
  auto opened = OpenLater();
  connection_ = broker_.Accept();
  const auto hello = connection_->Receive<wire::Hello>(wire::MessageType::kHello);
  connection_->Refuse(hello.header.request_id, GetParam().first, "because of this and that");
  EXPECT_EQ(opened.get(), GetParam().second);
  EXPECT_EQ(LastError(), "because of this and that");
  EXPECT_TRUE(connection_->Ended());
}

INSTANTIATE_TEST_SUITE_P(
    Statuses, OpenRefusedTest,
    ::testing::Values(std::pair(wire::Status::kVersionMismatch, NPU_IPC_VERSION_MISMATCH),
                      std::pair(wire::Status::kNotInPod, NPU_IPC_NOT_IN_POD),
                      std::pair(wire::Status::kUnknownPod, NPU_IPC_UNKNOWN_POD),
                      std::pair(wire::Status::kNoGroup, NPU_IPC_NO_GROUP),
                      std::pair(wire::Status::kBadAnnotation, NPU_IPC_BAD_ANNOTATION),
                      std::pair(wire::Status::kLimit, NPU_IPC_LIMIT),
                      std::pair(wire::Status::kUnsupported, NPU_IPC_UNSUPPORTED),
                      // Of a broker newer than this library.
                      std::pair(static_cast<wire::Status>(60), NPU_IPC_INTERNAL)));

TEST_F(OpenTest, ARefusalByAnotherMajorVersionIsUnderstood) {
  auto opened = OpenLater();
  connection_ = broker_.Accept();
  const auto hello = connection_->Receive<wire::Hello>(wire::MessageType::kHello);
  wire::Refused refused = {};
  refused.header = {2, 0, wire::MessageType::kRefused, sizeof(refused), 0, hello.header.request_id};
  refused.status = wire::Status::kVersionMismatch;
  connection_->SendRaw(&refused, sizeof(refused));
  EXPECT_EQ(opened.get(), NPU_IPC_VERSION_MISMATCH);
}

TEST_F(OpenTest, ABrokerThatShutsDownIsTriedAgain) {
  auto opened = OpenLater();
  auto first = broker_.Accept();
  const auto hello = first->Receive<wire::Hello>(wire::MessageType::kHello);
  first->Refuse(hello.header.request_id, wire::Status::kShuttingDown, "going");
  connection_ = broker_.Accept();
  connection_->Welcome();
  EXPECT_EQ(opened.get(), NPU_IPC_OK);
}

TEST(StatusTextTest, EveryStatusHasANameAndASentence) {
  for (int status = 0; status <= NPU_IPC_CLAIM_CONTRADICTED; ++status) {
    const auto value = static_cast<npu_ipc_status>(status);
    EXPECT_STRNE(npu_ipc_status_name(value), "NPU_IPC_UNKNOWN_STATUS") << status;
    EXPECT_STRNE(npu_ipc_status_string(value), "") << status;
  }
  for (int status = NPU_IPC_INVALID_ARGUMENT; status <= NPU_IPC_NO_EVENT; ++status) {
    EXPECT_STRNE(npu_ipc_status_name(static_cast<npu_ipc_status>(status)),
                 "NPU_IPC_UNKNOWN_STATUS");
  }
  EXPECT_STREQ(npu_ipc_status_name(NPU_IPC_NO_GROUP), "NPU_IPC_NO_GROUP");
  EXPECT_STREQ(npu_ipc_status_name(static_cast<npu_ipc_status>(40)), "NPU_IPC_UNKNOWN_STATUS");
}

}  // namespace
}  // namespace npu_ipc::test
