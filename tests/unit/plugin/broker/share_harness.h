// A share registry with a clock, processes and policy that the test moves by hand.
#pragma once

#include <string.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "plugin/broker/share_registry.h"

namespace npu_ipc::broker {

class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  void Advance(Duration by) { now_ += by; }

 private:
  TimePoint now_ = TimePoint(std::chrono::hours(1));
};

class FakeShareContext final : public ShareContext {
 public:
  using Packet = std::vector<char>;

  void Send(ClientId client, const void* message, size_t bytes) override {
    const auto* first = static_cast<const char*>(message);
    sent[client].emplace_back(first, first + bytes);
  }
  bool HasRoom(ClientId client) override { return !full.contains(client); }
  void DropSlow(ClientId client) override { dropped.insert(client); }
  bool ProcessAlive(ClientId client) override { return !dead.contains(client); }
  bool ProcessRuns(const ProcessKey& process) override { return !ended.contains(process.pid); }
  std::optional<Refusal> CheckShare(const std::string& exporter, const std::string& importer,
                                    const GroupKey&) override {
    if (denied.contains({exporter, importer}) || gone.contains(exporter) ||
        gone.contains(importer)) {
      return Refusal{wire::Status::kNamespaceDenied, "no leave"};
    }
    return std::nullopt;
  }
  std::optional<Refusal> CheckExport(const std::string&, uint64_t bytes,
                                     const pods::ExportUsage& of_pod,
                                     const pods::ExportUsage& of_node) override {
    usage = of_pod;
    node_usage = of_node;
    if (of_pod.bytes + bytes > max_bytes) return Refusal{wire::Status::kQuotaExceeded, "too much"};
    return std::nullopt;
  }
  std::optional<pods::RevokeMode> RevokeModeOf(const std::string& pod) override {
    if (gone.contains(pod)) return std::nullopt;
    return rotating.contains(pod) ? pods::RevokeMode::kRotate : pods::RevokeMode::kNotify;
  }
  std::optional<ProcessKey> FindProcess(pid_t pid, const std::string& pod_uid) override {
    const auto found = processes.find(pid);
    if (found == processes.end() || pod_uid != "uid-" + std::to_string(pid)) return std::nullopt;
    return ProcessKey{pid, found->second};
  }
  std::optional<Refusal> CheckRight(ClientId client, const GroupKey&, ShareRight right) override {
    if (no_export.contains(client) && right == ShareRight::kExport) {
      return Refusal{wire::Status::kRoleDenied, "no exporter"};
    }
    if (no_import.contains(client) && right == ShareRight::kImport) {
      return Refusal{wire::Status::kRoleDenied, "no importer"};
    }
    return std::nullopt;
  }
  std::optional<std::string> Contradiction(const driver_records::ExportClaim& claim) override {
    claims.push_back({std::string(claim.key), claim.exporter, claim.device, claim.bytes});
    return contradiction;
  }
  std::optional<std::string> Contradiction(const driver_records::MappingClaim& claim) override {
    if (mapped_by.empty() || mapped_by.contains(claim.importer)) return std::nullopt;
    return "not on the whitelist";
  }
  std::vector<FoundProcess> WhitelistOf(std::string_view) override { return whitelist; }
  device_view::Reach ReachBetween(uint32_t device_a, uint32_t device_b) override {
    return device_view::ReachBetween(&node, device_a, device_b);
  }
  void OnRefused(ClientId client, const Refusal& refusal) override {
    refused[client].push_back(refusal.status);
  }
  void OnRevoked(ClientId client, const Refusal& reason) override {
    revoked[client].push_back(reason.status);
  }
  void Forget(ClientId client) override { forgotten.insert(client); }

  struct Claim {
    std::string key;
    pid_t exporter;
    uint32_t device;
    uint64_t bytes;
    friend bool operator==(const Claim&, const Claim&) = default;
  };
  std::map<ClientId, std::deque<Packet>> sent;
  std::vector<Claim> claims;  // that were held against the driver's records
  std::optional<std::string> contradiction;
  std::set<pid_t> mapped_by;            // as the driver's records say; empty: they do not
  std::vector<FoundProcess> whitelist;  // the same
  device_view::NodeState node;
  std::set<ClientId> dead;
  std::map<pid_t, uint64_t> processes;  // start times of those that live, by pid
  std::set<ClientId> full;              // no room in its socket
  std::set<ClientId> dropped;           // for being slow
  std::set<ClientId> no_export;
  std::set<ClientId> no_import;
  std::set<ClientId> forgotten;
  std::set<pid_t> ended;                                 // processes
  std::set<std::pair<std::string, std::string>> denied;  // exporter's pod, importer's
  std::set<std::string> gone;                            // pods
  std::set<std::string> rotating;                        // pods that want `revoke: rotate`
  uint64_t max_bytes = UINT64_MAX;                       // of any pod
  pods::ExportUsage usage;                               // that the last publish met
  pods::ExportUsage node_usage;
  std::map<ClientId, std::vector<wire::Status>> revoked;
  std::map<ClientId, std::vector<wire::Status>> refused;
};

class ShareRegistryTest : public testing::Test {
 protected:
  explicit ShareRegistryTest(const ShareLimits& limits = {}, uint64_t generation_floor = 0)
      : registry_(clock_, limits, context_, metrics_, generation_floor) {}

  // A process of a pod of its own.
  ClientId AddProcess(pid_t pid, uint64_t start_time = 1) {
    context_.processes[pid] = start_time;
    ClientInfo info;
    info.process = {pid, start_time};
    info.pod_namespace = "team";
    info.pod_name = "pod-" + std::to_string(pid);
    info.pod_uid = "uid-" + std::to_string(pid);
    info.pod_cgroup_uid = pod_uid_.empty() ? info.pod_uid : pod_uid_;
    info.speaks_minor = speaks_minor_;
    info.container_id = "container";
    return registry_.AddClient(info);
  }

  wire::Publish PublishRequest(const std::string& name, uint32_t device, const std::string& key) {
    auto request = NewMessage<wire::Publish>(wire::MessageType::kPublish, ++request_id_);
    PutText(request.name, name);
    request.handle_kind = wire::HandleKind::kIpcKey;
    request.claimed_physical_device = device;
    memcpy(request.handle, key.data(), key.size());
    request.allocation_bytes = 4096;
    request.view_bytes = 4096;
    return request;
  }

  // REQUIRES: the publish is accepted.
  wire::Published Publish(ClientId client, const std::string& name, uint32_t device = 0,
                          const std::string& key = "key") {
    registry_.Publish(client, kGroup, PublishRequest(name, device, key));
    return Take<wire::Published>(client, wire::MessageType::kPublished);
  }

  uint64_t Attach(ClientId client, const std::string& name, uint32_t device = 0,
                  uint32_t wait_milliseconds = 1000) {
    auto request = NewMessage<wire::Attach>(wire::MessageType::kAttach, ++request_id_);
    PutText(request.name, name);
    request.claimed_physical_device = device;
    request.wait_milliseconds = wait_milliseconds;
    registry_.Attach(client, kGroup, request);
    return request_id_;
  }

  void Answer(ClientId exporter, const wire::Admit& admit, wire::Status status = wire::Status::kOk,
              int32_t vendor_code = 0) {
    auto answer = NewMessage<wire::Admitted>(wire::MessageType::kAdmitted, admit.header.request_id);
    answer.region_id = admit.region_id;
    answer.importer_host_pid = admit.importer_host_pid;
    answer.importer_physical_device = admit.importer_physical_device;
    answer.status = status;
    answer.vendor_code = vendor_code;
    registry_.Admitted(exporter, answer);
  }

  // Attach, Admit, Admitted and Grant. REQUIRES: the region is there.
  wire::Grant Share(ClientId exporter, ClientId importer, const std::string& name,
                    uint32_t device = 0) {
    Attach(importer, name, device);
    Answer(exporter, Take<wire::Admit>(exporter, wire::MessageType::kAdmit));
    return Take<wire::Grant>(importer, wire::MessageType::kGrant);
  }

  void Withdraw(ClientId client, RegionId region, uint32_t drain_milliseconds) {
    auto request = NewMessage<wire::Withdraw>(wire::MessageType::kWithdraw, ++request_id_);
    request.region_id = region;
    request.drain_milliseconds = drain_milliseconds;
    registry_.Withdraw(client, request);
  }

  void Detach(ClientId client, GrantId grant) {
    auto message = NewMessage<wire::Detached>(wire::MessageType::kDetached, 0);
    message.grant_id = grant;
    registry_.Detached(client, message);
  }

  // The next message to `client`, which must be of this type.
  template <class M>
  M Take(ClientId client, wire::MessageType type) {
    M message = {};
    std::deque<FakeShareContext::Packet>& queue = context_.sent[client];
    if (queue.empty()) {
      ADD_FAILURE() << "nothing was sent to client " << client;
      return message;
    }
    memcpy(&message, queue.front().data(), std::min(sizeof(M), queue.front().size()));
    EXPECT_EQ(message.header.type, type);
    EXPECT_EQ(queue.front().size(), sizeof(M));
    EXPECT_EQ(message.header.bytes, sizeof(M));
    queue.pop_front();
    return message;
  }
  // Until a message's deadline, as a library that speaks 1.2 counts.
  template <class M>
  uint32_t MillisecondsLeft(const M& message) {
    EXPECT_TRUE(wire::DeadlineIsInstant(message.header));
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Now().time_since_epoch());
    return message.deadline_milliseconds - static_cast<uint32_t>(now.count());
  }
  wire::Refused TakeRefused(ClientId client) {
    return Take<wire::Refused>(client, wire::MessageType::kRefused);
  }
  // REQUIRES: the client is told that its mapping of this grant is to go.
  wire::WithdrawReason TakeReason(ClientId client, GrantId grant) {
    const auto message = Take<wire::Withdrawing>(client, wire::MessageType::kWithdrawing);
    EXPECT_EQ(message.grant_id, grant);
    return message.reason;
  }
  // As Take(), past messages of other types.
  template <class M>
  M Next(ClientId client, wire::MessageType type) {
    std::deque<FakeShareContext::Packet>& queue = context_.sent[client];
    while (!queue.empty() && TypeOf(queue.front()) != type) queue.pop_front();
    return Take<M>(client, type);
  }
  static wire::MessageType TypeOf(const FakeShareContext::Packet& packet) {
    wire::MessageHeader header;
    memcpy(&header, packet.data(), sizeof(header));
    return header.type;
  }
  void Discard() {
    for (auto& [client, queue] : context_.sent) queue.clear();
  }
  void AnswerRotate(ClientId exporter, const wire::Rotate& rotate, const std::string& key,
                    wire::Status status = wire::Status::kOk, int32_t vendor_code = 0) {
    auto answer = NewMessage<wire::Rotated>(wire::MessageType::kRotated, rotate.header.request_id);
    answer.region_id = rotate.region_id;
    answer.status = status;
    answer.vendor_code = vendor_code;
    memcpy(answer.handle, key.data(), key.size());
    registry_.Rotated(exporter, answer);
  }
  // What a process says of a region that it published before.
  wire::ReclaimRegion RegionClaim(const std::string& name, uint32_t whitelisted = 0,
                                  uint64_t generation = 7, const std::string& key = "key") {
    auto claim = NewMessage<wire::ReclaimRegion>(wire::MessageType::kReclaimRegion, ++request_id_);
    PutText(claim.group, kGroup.name);
    PutText(claim.name, name);
    claim.handle_kind = wire::HandleKind::kIpcKey;
    claim.claimed_physical_device = 0;
    memcpy(claim.handle, key.data(), key.size());
    claim.allocation_bytes = 4096;
    claim.view_bytes = 4096;
    claim.generation = generation;
    claim.whitelisted = whitelisted;
    return claim;
  }
  // REQUIRES: it is not refused.
  wire::Published ReclaimRegion(ClientId client, const wire::ReclaimRegion& claim) {
    registry_.ReclaimRegion(client, kGroup, claim);
    return Take<wire::Published>(client, wire::MessageType::kPublished);
  }
  bool NothingSent(ClientId client) { return context_.sent[client].empty(); }

  void Advance(Duration by) {
    clock_.Advance(by);
    registry_.RunDue();
  }
  bool Counted(const std::string& line) {
    return metrics_.Text().find("npu_ipc_broker_" + line + "\n") != std::string::npos;
  }

  const GroupKey kGroup{"team", "weights"};
  ManualClock clock_;
  FakeShareContext context_;
  Metrics metrics_{"test"};
  ShareRegistry registry_;
  uint64_t request_id_ = 1000;
  std::string pod_uid_;  // of the processes that are added; empty: each has its own
  uint32_t speaks_minor_ = wire::kVersionMinor;  // of the processes that are added
};

}  // namespace npu_ipc::broker
