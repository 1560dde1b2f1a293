// What the tests of the library share: a fake broker, the fake vendor, and a client that is open.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "runtime/include/npu_ipc.h"
#include "tests/unit/runtime/fake_broker.h"
#include "tests/unit/runtime/fake_vendor.h"

namespace npu_ipc::test {

class ClientTest : public ::testing::Test {
 protected:
  static constexpr size_t kBytes = 8 << 20;

  void SetUp() override { FakeVendor::Get().Reset(); }
  void TearDown() override { npu_ipc_close(client_); }

  // Opens client_ against broker_, with connection_ as the broker's end.
  void Open(uint32_t timeout_ms = kDeadlineMilliseconds) {
    auto opened = OpenLater(timeout_ms);
    connection_ = broker_.Accept();
    ASSERT_NE(connection_, nullptr);
    connection_->Welcome();
    ASSERT_EQ(opened.get(), NPU_IPC_OK) << LastError();
  }
  std::future<npu_ipc_status> OpenLater(uint32_t timeout_ms = kDeadlineMilliseconds) {
    path_ = broker_.path();
    npu_ipc_open_options options = {};
    options.struct_bytes = sizeof(options);
    options.socket_path = path_.c_str();
    options.timeout_ms = timeout_ms;
    return Later([this, options] { return npu_ipc_open(&options, &client_); });
  }

  // Runs a call that waits for the broker on a thread that has a context.
  template <class Call>
  std::future<npu_ipc_status> Later(Call call) {
    return std::async(std::launch::async, [call] {
      SetThreadContext(kContext);
      return call();
    });
  }
  std::future<npu_ipc_status> PublishLater(const char* name, npu_ipc_region** region,
                                           void* base = kMemory) {
    return Later([this, name, region, base] {
      return npu_ipc_publish(client_, name, base, kBytes, nullptr, region);
    });
  }
  std::future<npu_ipc_status> AttachLater(const char* name, npu_ipc_mapping** mapping,
                                          uint32_t wait_ms = kDeadlineMilliseconds) {
    return Later([this, name, mapping, wait_ms] {
      npu_ipc_attach_options options = {};
      options.struct_bytes = sizeof(options);
      options.wait_ms = wait_ms;
      return npu_ipc_attach(client_, name, &options, mapping);
    });
  }

  // A published region, by name, and its id.
  npu_ipc_region* Publish(const char* name, uint64_t region_id, void* base = kMemory) {
    npu_ipc_region* region = nullptr;
    auto published = PublishLater(name, &region, base);
    const auto request = connection_->Receive<wire::Publish>(wire::MessageType::kPublish);
    last_publish_ = request;
    connection_->Send(wire::Published{{}, region_id, 1}, wire::MessageType::kPublished,
                      request.header.request_id);
    EXPECT_EQ(published.get(), NPU_IPC_OK) << LastError();
    return region;
  }
  static wire::Grant MakeGrant(uint64_t grant_id, bool peer_access = false) {
    wire::Grant grant = {};
    grant.grant_id = grant_id;
    grant.region_id = 77;
    grant.generation = 3;
    grant.allocation_bytes = kBytes;
    grant.view_offset = 4096;
    grant.view_bytes = 8192;
    grant.handle_kind = wire::HandleKind::kIpcKey;
    grant.exporter_physical_device = 1;
    grant.exporter_host_pid = 31337;
    grant.enable_peer_access = peer_access ? 1 : 0;
    memset(grant.handle, 'k', 64);
    strcpy(grant.exporter_namespace, "team-b");
    strcpy(grant.exporter_pod, "loader-0");
    strcpy(grant.exporter_pod_uid, "uid-b");
    return grant;
  }
  static std::string GrantKey() { return std::string(64, 'k'); }
  npu_ipc_mapping* Attach(const char* name, uint64_t grant_id, bool peer_access = false) {
    npu_ipc_mapping* mapping = nullptr;
    auto attached = AttachLater(name, &mapping);
    const auto request = connection_->Receive<wire::Attach>(wire::MessageType::kAttach);
    connection_->Send(MakeGrant(grant_id, peer_access), wire::MessageType::kGrant,
                      request.header.request_id);
    const auto imported = connection_->Receive<wire::Imported>(wire::MessageType::kImported);
    EXPECT_EQ(imported.grant_id, grant_id);
    EXPECT_EQ(imported.status, wire::Status::kOk);
    EXPECT_EQ(attached.get(), NPU_IPC_OK) << LastError();
    return mapping;
  }
  wire::Admitted Admit(wire::Admit admit) {
    connection_->Send(admit, wire::MessageType::kAdmit, ++admit_request_id_);
    const auto admitted = connection_->Receive<wire::Admitted>(wire::MessageType::kAdmitted);
    EXPECT_EQ(admitted.header.request_id, admit_request_id_);
    EXPECT_EQ(admitted.region_id, admit.region_id);
    EXPECT_EQ(admitted.importer_host_pid, admit.importer_host_pid);
    return admitted;
  }
  static wire::Admit MakeAdmit(uint64_t region_id, int32_t pid, bool peer_access = false) {
    wire::Admit admit = {};
    admit.region_id = region_id;
    admit.importer_host_pid = pid;
    admit.importer_physical_device = 3;
    admit.deadline_milliseconds = kDeadlineMilliseconds;
    admit.enable_peer_access = peer_access ? 1 : 0;
    return admit;
  }
  std::string PublishedKey() const { return reinterpret_cast<const char*>(last_publish_.handle); }

  npu_ipc_event NextEvent() {
    npu_ipc_event event = {};
    event.struct_bytes = sizeof(event);
    EXPECT_EQ(npu_ipc_next_event(client_, kDeadlineMilliseconds, &event), NPU_IPC_OK);
    return event;
  }
  // The next that is of another type.
  npu_ipc_event NextEventBesides(npu_ipc_event_type type) {
    npu_ipc_event event = NextEvent();
    while (event.type == type) event = NextEvent();
    return event;
  }
  npu_ipc_mapping_info Info(npu_ipc_mapping* mapping) {
    npu_ipc_mapping_info info = {};
    info.struct_bytes = sizeof(info);
    EXPECT_EQ(npu_ipc_mapping_get_info(mapping, &info), NPU_IPC_OK);
    return info;
  }
  npu_ipc_region_info Info(npu_ipc_region* region) {
    npu_ipc_region_info info = {};
    info.struct_bytes = sizeof(info);
    EXPECT_EQ(npu_ipc_region_get_info(region, &info), NPU_IPC_OK);
    return info;
  }
  std::string LastError() {
    char text[512] = "";
    if (client_ != nullptr) npu_ipc_last_error(client_, text, sizeof(text));
    return text;
  }

  static inline void* const kMemory = reinterpret_cast<void*>(0x100000200000);
  static inline void* const kOtherMemory = reinterpret_cast<void*>(0x100000A00000);
  FakeBroker broker_;
  std::string path_;
  std::unique_ptr<BrokerConnection> connection_;
  npu_ipc_client* client_ = nullptr;
  wire::Publish last_publish_ = {};
  uint64_t admit_request_id_ = 1000;
};

}  // namespace npu_ipc::test
