// A program that has not loaded AscendCL. One of its own: it must not have the fake vendor's
// symbols.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "runtime/include/npu_ipc.h"
#include "tests/unit/runtime/fake_broker.h"

namespace npu_ipc::test {
namespace {

TEST(MissingVendorTest, IsNamedSymbolBySymbol) {
  FakeBroker broker;
  std::unique_ptr<BrokerConnection> connection;
  std::thread thread([&] {
    connection = broker.Accept();
    connection->Welcome();
  });
  const std::string path = broker.path();
  npu_ipc_open_options options = {};
  options.struct_bytes = sizeof(options);
  options.socket_path = path.c_str();
  npu_ipc_client* client = nullptr;
  EXPECT_EQ(npu_ipc_open(&options, &client), NPU_IPC_OK);  // who we are needs no vendor
  thread.join();
  npu_ipc_region* region = nullptr;
  EXPECT_EQ(npu_ipc_publish(client, "r", reinterpret_cast<void*>(0x200000), 4096, nullptr, &region),
            NPU_IPC_NO_VENDOR_LIBRARY);
  npu_ipc_mapping* mapping = nullptr;
  EXPECT_EQ(npu_ipc_attach(client, "r", nullptr, &mapping), NPU_IPC_NO_VENDOR_LIBRARY);
  char text[512] = "";
  EXPECT_EQ(npu_ipc_last_error(client, text, sizeof(text)), NPU_IPC_OK);
  for (const char* const symbol : {"aclrtGetCurrentContext", "aclrtIpcMemGetExportKey",
                                   "aclrtIpcMemClose", "libascendcl.so"}) {
    EXPECT_THAT(text, ::testing::HasSubstr(symbol));
  }
  npu_ipc_close(client);
}

}  // namespace
}  // namespace npu_ipc::test
