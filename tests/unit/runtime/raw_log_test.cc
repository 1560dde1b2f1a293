// NPU_IPC_LOG. A program of its own: the variable is read once a process.
#include <stdlib.h>

#include <fstream>
#include <string>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using RawLogTest = ClientTest;

TEST_F(RawLogTest, WritesLinesToTheFileAndNeverAKey) {
  TemporaryDirectory directory;
  const std::string path = directory.Path("log");
  ASSERT_EQ(::setenv("NPU_IPC_LOG", path.c_str(), 1), 0);
  Open();
  Publish("r", 5);
  Admit(MakeAdmit(5, 8001));
  FakeVendor::Get().Fail("aclrtIpcMemSetImportPid", 507899);
  Admit(MakeAdmit(5, 8002));
  npu_ipc_mapping* mapping = nullptr;
  auto attached = AttachLater("m", &mapping);
  const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
  connection_->Refuse(request.header.request_id, wire::Status::kNotFound, "no such region");
  EXPECT_EQ(attached.get(), NPU_IPC_NOT_FOUND);
  npu_ipc_close(client_);
  client_ = nullptr;

  std::ifstream file(path);
  const std::string log((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_THAT(log, ContainsRegex("npu-ipc [0-9]+/[0-9]+: admitted host pid 8001 with status 0"));
  EXPECT_THAT(log, HasSubstr("aclrtIpcMemSetImportPid failed with 507899"));
  EXPECT_THAT(log, HasSubstr("NPU_IPC_NOT_FOUND: no such region\n"));
  EXPECT_THAT(log, Not(HasSubstr(PublishedKey())));
}

}  // namespace
}  // namespace npu_ipc::test
