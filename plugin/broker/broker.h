// The daemon: one loop thread that owns every session, the shares and the pod directory.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "hal/base/event_loop.h"
#include "hal/base/unix_socket.h"
#include "plugin/broker/cluster_reporter.h"
#include "plugin/broker/connect_limit.h"
#include "plugin/broker/diagnostics.h"
#include "plugin/broker/id_map.h"
#include "plugin/broker/line_limit.h"
#include "plugin/broker/metrics.h"
#include "plugin/broker/pod_rights.h"
#include "plugin/broker/session.h"
#include "plugin/broker/settings.h"
#include "plugin/broker/share_registry.h"
#include "plugin/device_view/device_view_client.h"
#include "plugin/http/readiness.h"
#include "plugin/http/server.h"
#include "plugin/kubelet/kubelet_session.h"
#include "plugin/kubelet/recorded_resource.h"
#include "plugin/pods/directory.h"

namespace npu_ipc::broker {

// Serves clients at the socket, probes and metrics over HTTP, and the share resource to the
// kubelet. gRPC's threads see that resource alone, which never changes, and count its calls.
// SIGTERM and SIGINT end Run(); SIGHUP reads the settings and the pods again.
class Broker final : private ShareContext, private SessionHost {
 public:
  // Listens when it returns. `start` is what the settings are read from again. Blocks the signals
  // above in the calling thread: call it before other threads start. kAlreadyExists when another
  // broker serves the socket; kInvalidArgument, kNotFound, kUnavailable name the setting that
  // cannot be used.
  static Result<std::unique_ptr<Broker>> Start(const Settings& settings, config::Start start);
  ~Broker() override;

  // Until a signal ends it. Clients are told to connect again.
  void Run();

 private:
  Broker(const Settings& settings, config::Start start, std::unique_ptr<EventLoop> loop);

  Status Open();
  void WatchDevices();
  Status ServeHttp();
  void KeepNames();
  Status OpenPods(const std::optional<cluster::ClusterConfig>& cluster);
  void StartReporting(const std::optional<cluster::ClusterConfig>& cluster);
  void OfferShareResource();
  void ServeDiagnostics();
  admin::NodeSnapshot DescribeNode();
  void CountShareAllocate(const kubelet::AllocateCall& call);
  void KeepLibraryVersion(const std::string& directory);
  std::string MetricsText();
  http::Response Readyz();
  void OnSignal(int signal);
  void ReadSettingsAgain();
  void AcceptAll();
  void PauseAccepting(Duration pause);
  // Whether the process at the other end has not connected too often.
  bool MayConnect(int socket_fd);
  void StartSession(UniqueFd socket);
  void OnPodsChanged(const std::vector<std::string>& changed_uids);
  void ArmDeadline();
  void UpdateReadiness();

  // ShareContext
  void Send(ClientId client, const void* message, size_t bytes) override;
  bool HasRoom(ClientId client) override;
  void DropSlow(ClientId client) override;
  bool ProcessAlive(ClientId client) override;
  bool ProcessRuns(const ProcessKey& process) override;
  std::vector<FoundProcess> WhitelistOf(std::string_view key) override;
  std::optional<ProcessKey> FindProcess(pid_t pid, const std::string& pod_uid) override;
  std::optional<Refusal> CheckRight(ClientId client, const GroupKey& group,
                                    ShareRight right) override;
  std::optional<Refusal> CheckShare(const std::string& exporter, const std::string& importer,
                                    const GroupKey& group) override;
  std::optional<Refusal> CheckExport(const std::string& pod, uint64_t bytes,
                                     const pods::ExportUsage& of_pod,
                                     const pods::ExportUsage& of_node) override;
  std::optional<pods::RevokeMode> RevokeModeOf(const std::string& pod) override;
  std::optional<std::string> Contradiction(const driver_records::ExportClaim& claim) override;
  std::optional<std::string> Contradiction(const driver_records::MappingClaim& claim) override;
  device_view::Reach ReachBetween(uint32_t device_a, uint32_t device_b) override;
  void OnRefused(ClientId client, const Refusal& refusal) override;
  void OnRevoked(ClientId client, const Refusal& reason) override;
  void Forget(ClientId client) override;

  // SessionHost
  void OnClientAdded(SessionId session, ClientId client) override;
  void OnClientRemoved(ClientId client) override;
  void OnSharesChanged() override;
  void WaitForPod(SessionId session, const std::string& pod_uid, bool waiting) override;
  void OnEnded(SessionId session) override;
  void OnRefused(const pods::Pod& pod, const Refusal& refusal) override;
  void OnUnknownRefused(pid_t pid, const std::string& pod_uid, const Refusal& refusal) override;
  void OnRevoked(const pods::Pod& pod, const Refusal& reason) override;
  void OnInvisiblePeer() override;

  const driver_records::DriverRecords driver_records_;
  Settings settings_;  // the loop thread's own
  const config::Start start_;
  Metrics metrics_;
  http::Readiness readiness_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<NameFile> name_file_;  // null where names are not kept
  ShareRegistry shares_;
  Lanes lanes_;
  QueueLimits queue_limits_;
  ConnectLimit connect_limit_;
  LineLimit connect_limit_lines_;
  std::unique_ptr<pods::PodDirectory> pods_;
  std::string pods_note_;              // set before http_ is
  std::unique_ptr<PodRights> rights_;  // of pods_ and settings_.policy
  std::unique_ptr<UnixListener> listener_;
  EventLoop::WatchId listener_watch_ = 0;
  EventLoop::TimerId deadline_timer_ = 0;
  std::optional<TimePoint> deadline_;  // that `deadline_timer_` is set to

  SessionId next_session_ = 1;
  std::unordered_map<SessionId, std::unique_ptr<Session>> sessions_;
  FlatMap<ClientId, Session*> clients_;
  std::unordered_map<std::string, std::unordered_set<SessionId>> awaiting_pod_;  // by cgroup uid

  std::unique_ptr<ClusterReporter> reporter_;  // null where there is no cluster
  std::mutex share_statistics_mutex_;
  device_view::ResourceStatistics share_statistics_;  // guarded by share_statistics_mutex_
  std::unique_ptr<kubelet::KubeletSession> kubelet_;  // of the share resource; null where it is off
  std::shared_ptr<const device_view::NodeState> node_state_;    // the last that came; or null
  std::unique_ptr<device_view::DeviceViewClient> device_view_;  // null where it is off

  const TimePoint started_;
  Diagnostics diagnostics_;             // its thread asks the loop for what is above
  std::unique_ptr<http::Server> http_;  // last: its threads read what is above
};

}  // namespace npu_ipc::broker
