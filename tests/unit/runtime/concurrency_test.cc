// Many threads and two clients at once, against a broker that answers by itself. What matters is
// that the thread sanitizer sees it, and that nothing is left over.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/unit/runtime/client_fixture.h"

namespace npu_ipc::test {
namespace {

// Answers everything that a client asks until it closes; each region is admitted to once.
void Serve(BrokerConnection& connection, std::atomic<uint64_t>& next_id) {
  alignas(8) unsigned char buffer[wire::kMaxMessageBytes];
  for (;;) {
    const size_t received = connection.ReceiveAny(buffer, sizeof(buffer));
    if (received == 0) return;
    wire::MessageHeader header;
    memcpy(&header, buffer, sizeof(header));
    const uint64_t id = next_id.fetch_add(1);
    if (header.type == wire::MessageType::kPublish) {
      connection.Send(wire::Published{{}, id, 1}, wire::MessageType::kPublished, header.request_id);
      wire::Admit admit = {};
      admit.region_id = id;
      admit.importer_host_pid = 8001;
      admit.importer_physical_device = 3;
      admit.deadline_milliseconds = kDeadlineMilliseconds;
      admit.enable_peer_access = 1;
      connection.Send(admit, wire::MessageType::kAdmit, id);
    } else if (header.type == wire::MessageType::kWithdraw) {
      connection.Send(wire::Withdrawn{}, wire::MessageType::kWithdrawn, header.request_id);
    } else if (header.type == wire::MessageType::kAttach) {
      wire::Grant grant = {};
      grant.grant_id = id;
      grant.allocation_bytes = grant.view_bytes = 4096;
      grant.handle_kind = wire::HandleKind::kIpcKey;
      grant.exporter_physical_device = 3;
      grant.enable_peer_access = 1;
      memset(grant.handle, 'k', 64);
      connection.Send(grant, wire::MessageType::kGrant, header.request_id);
      connection.Send(wire::Withdrawing{{}, id, wire::WithdrawReason::kWithdrawn, 0},
                      wire::MessageType::kWithdrawing, 0);
    }
  }
}

TEST_F(ClientTest, ManyThreadsAndTwoClientsShareOneProcess) {
  std::atomic<uint64_t> next_id{1};
  npu_ipc_client* clients[2] = {nullptr, nullptr};
  std::unique_ptr<BrokerConnection> connections[2];
  std::vector<std::thread> brokers;
  for (int i = 0; i < 2; ++i) {
    auto opened = OpenLater();
    connections[i] = broker_.Accept();
    connections[i]->Welcome();
    ASSERT_EQ(opened.get(), NPU_IPC_OK);
    clients[i] = std::exchange(client_, nullptr);
    brokers.emplace_back([&, i] { Serve(*connections[i], next_id); });
  }

  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&clients, t] {
      SetThreadContext(kContext);
      npu_ipc_client* const client = clients[t % 2];
      // Two allocations for all: exports are made, shared and closed by threads at the same time.
      void* const memory = t % 3 == 0 ? kMemory : kOtherMemory;
      for (int i = 0; i < 40; ++i) {
        npu_ipc_region* region = nullptr;
        ASSERT_EQ(npu_ipc_publish(client, "r", memory, kBytes, nullptr, &region), NPU_IPC_OK);
        npu_ipc_mapping* mapping = nullptr;
        ASSERT_EQ(npu_ipc_attach(client, "m", nullptr, &mapping), NPU_IPC_OK);
        npu_ipc_event event = {};
        event.struct_bytes = sizeof(event);
        npu_ipc_next_event(client, 0, &event);
        EXPECT_EQ(npu_ipc_detach(mapping), NPU_IPC_OK);
        EXPECT_EQ(npu_ipc_withdraw(region, 1000, 0), NPU_IPC_OK);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(FakeVendor::Get().exported().empty());
  EXPECT_TRUE(FakeVendor::Get().imported().empty());
  EXPECT_EQ(FakeVendor::Get().peers().size(), 1u);  // one enable for all of them
  npu_ipc_close(clients[0]);
  EXPECT_EQ(FakeVendor::Get().peers().size(), 1u);  // the other client still has it
  npu_ipc_close(clients[1]);
  EXPECT_TRUE(FakeVendor::Get().peers().empty());
  for (std::thread& broker : brokers) broker.join();
}

}  // namespace
}  // namespace npu_ipc::test
