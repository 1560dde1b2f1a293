#include "plugin/broker/broker.h"

#include <errno.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"
#include "plugin/broker/pod_source.h"
#include "plugin/broker/share_resource.h"
#include "plugin/device_view/device_metrics.h"
#include "plugin/identity/container.h"
#include "plugin/injection/injected_library.h"
#include "plugin/injection/library_store.h"

namespace npu_ipc::broker {
namespace {

// Containers of any user connect; who they are comes from the kernel.
constexpr mode_t kSocketMode = 0666;
constexpr mode_t kSocketDirectoryMode = 0711;
constexpr auto kMarkVersionEvery = std::chrono::minutes(10);
constexpr int kAcceptedAtOnce = 256;  // a millisecond's work
constexpr int kConnectsAtOnce = 4;    // as often as it may have connections
constexpr int kStartedAtOnce = 2;     // one, and a look whether there are more
constexpr auto kPauseAfterRefusals = std::chrono::milliseconds(1);
constexpr auto kPauseWithoutDescriptors = std::chrono::milliseconds(100);

// The peer's pid, as it was at connect(2): for counting, not for trusting, as another process may
// have it by now. 0 where it is in no PID namespace that this process sees.
pid_t PeerPid(int socket_fd) {
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  ::getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
  return credentials.pid;
}

Status MakeSocketDirectory(const std::string& socket_path) {
  const std::string directory = std::filesystem::path(socket_path).parent_path();
  if (::mkdir(directory.c_str(), kSocketDirectoryMode) != 0 && errno != EEXIST) {
    return PosixError(errno, "make the directory of socket.path, " + directory);
  }
  return Status::Ok();
}

// Two descriptors a client: the usual soft limit of 1,024 is soon reached.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Where it has ended meanwhile, whatever is read of it says so.
std::optional<PeerProcess> OpenProcess(pid_t pid) {
  Result<UniqueFd> pidfd = OpenPidfd(pid);
  const Result<uint64_t> start_time = ProcessStartTime(pid);
  if (!pidfd.ok() || !start_time.ok()) return std::nullopt;
  PeerProcess process;
  process.pid = pid;
  process.start_time_ticks = *start_time;
  process.pidfd = std::move(pidfd).value();
  return process;
}

// Since boot; rounded down, as the kernel counts in clock ticks.
uint64_t StartTimeNanoseconds(const PeerProcess& process) {
  return process.start_time_ticks * 1'000'000'000U / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

Broker::Broker(const Settings& settings, config::Start start, std::unique_ptr<EventLoop> loop)
    : driver_records_(settings.driver_records),
      settings_(settings),
      start_(std::move(start)),
      metrics_(NPU_IPC_VERSION),
      loop_(std::move(loop)),
      shares_(loop_->clock(), settings.Limits(), *this, metrics_, GenerationFloor()),
      lanes_([this] { loop_->RunAfter(Duration::zero(), [this] { lanes_.RunRound(); }); }),
      queue_limits_(settings.Queues()),
      started_(loop_->clock().Now()),
      diagnostics_({*loop_, shares_, driver_records_, [this] { return DescribeNode(); },
                    [this]() -> const pods::PodDirectory& { return *pods_; }}) {}

Broker::~Broker() = default;

Result<std::unique_ptr<Broker>> Broker::Start(const Settings& settings, config::Start start) {
  RaiseDescriptorLimit();
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) return loop.status();
  std::unique_ptr<Broker> broker(new Broker(settings, std::move(start), std::move(loop).value()));
  if (Status opened = broker->Open(); !opened.ok()) return opened;
  return broker;
}

Status Broker::Open() {
  Status signals = loop_->OnSignals({SIGTERM, SIGINT, SIGHUP}, [this](int s) { OnSignal(s); });
  if (!signals.ok()) return signals;
  if (Status made = MakeSocketDirectory(settings_.socket_path); !made.ok()) return made;
  // First: a second broker must not touch anything else before it finds that it is the second.
  Result<std::unique_ptr<UnixListener>> listener =
      UnixListener::Listen(settings_.socket_path, kSocketMode);
  if (!listener.ok()) return listener.status().WithContext("socket.path");
  listener_ = std::move(listener).value();
  if (Status reported = ReportSenders(listener_->fd()); !reported.ok()) return reported;

  const Result<std::optional<cluster::ClusterConfig>> cluster =
      FindCluster(settings_.cluster_enabled, settings_.cluster_kubeconfig);
  if (!cluster.ok()) return cluster.status().WithContext("cluster");
  if (Status opened = OpenPods(*cluster); !opened.ok()) return opened;
  KeepNames();

  Result<EventLoop::WatchId> watch =
      loop_->Watch(listener_->fd(), EPOLLIN, [this](uint32_t) { AcceptAll(); });
  if (!watch.ok()) return watch.status();
  listener_watch_ = *watch;
  StartReporting(*cluster);
  OfferShareResource();
  WatchDevices();
  ServeDiagnostics();
  if (Status served = ServeHttp(); !served.ok()) return served.WithContext("http.listenAddress");
  spdlog::info("serving: socket={} version={}", settings_.socket_path, NPU_IPC_VERSION);
  return Status::Ok();
}

// What is in the way of it costs no more than the names of exporters that come back late.
void Broker::KeepNames() {
  if (settings_.state_directory == "off") return;
  const auto open = [this]() -> Result<std::unique_ptr<NameFile>> {
    const Result<std::string> boot_id = BootId();
    if (!boot_id.ok()) return boot_id.status();
    return NameFile::Open(settings_.state_directory + "/names", *boot_id);
  };
  Result<std::unique_ptr<NameFile>> file = open();
  if (!file.ok()) {
    spdlog::error("names are not kept over a restart: {}", file.status().message());
    return;
  }
  name_file_ = std::move(file).value();
  shares_.KeepNames(*name_file_);
  ArmDeadline();
}

Status Broker::OpenPods(const std::optional<cluster::ClusterConfig>& cluster) {
  Result<std::unique_ptr<pods::PodDirectory>> pods = OpenPodDirectory(*loop_, settings_, cluster);
  if (!pods.ok()) return pods.status();
  pods_ = std::move(pods).value();
  if (cluster && !settings_.pods_file.empty()) {
    pods_note_ = "those of pods.file " + settings_.pods_file + "; the API server is not asked";
  }
  rights_ = std::make_unique<PodRights>(*pods_, settings_.policy);
  pods_->OnChange([this](const std::vector<std::string>& changed) { OnPodsChanged(changed); });
  UpdateReadiness();
  return Status::Ok();
}

void Broker::StartReporting(const std::optional<cluster::ClusterConfig>& cluster) {
  if (!cluster) return;
  spdlog::info("writing labels and Events: server={} source={} node={}",
               cluster::ServerName(*cluster), cluster->source, settings_.node_name);
  reporter_ = std::make_unique<ClusterReporter>(*cluster, settings_.node_name);
}

// What is in the way of it is not in the way of those who have the library already: said, and made
// known by the readiness probe.
void Broker::OfferShareResource() {
  if (settings_.share_ids == 0) return;
  if (!std::filesystem::is_directory(settings_.kubelet.directory)) {
    spdlog::warn("{} is not offered: there is no kubelet.devicePluginDirectory {}",
                 settings_.share_resource, settings_.kubelet.directory);
    return;
  }
  const auto offer = [this]() -> Status {
    Result<injection::ContainerChanges> changes = injection::PrepareLibrary(settings_.library);
    if (!changes.ok()) return changes.status();
    auto session = kubelet::KubeletSession::Create(*loop_, settings_.kubelet);
    if (!session.ok()) return session.status();
    kubelet_ = std::move(*session);
    KeepLibraryVersion(changes->mounts.front().host_path);
    auto share = std::make_shared<ShareResource>(
        settings_.share_resource, static_cast<size_t>(settings_.share_ids), std::move(*changes));
    return kubelet_->Add(std::make_shared<kubelet::RecordedResource>(
        std::move(share), [this](const kubelet::AllocateCall& call) { CountShareAllocate(call); }));
  };
  const Status offered = offer();
  if (offered.ok()) return;
  spdlog::error("{} is not offered: {}", settings_.share_resource, offered.message());
  readiness_.Set("share", settings_.share_resource + " is not offered: " + offered.message());
}

// The device plugin removes the versions that nobody gives out any more.
void Broker::KeepLibraryVersion(const std::string& directory) {
  injection::MarkVersionUsed(directory);
  loop_->RunAfter(kMarkVersionEvery, [this, directory] { KeepLibraryVersion(directory); });
}

// The device plugin may be away, or not of this installation at all: what it would say is then
// unknown, and nothing waits for it.
void Broker::WatchDevices() {
  if (device_view::SocketIsOff(settings_.device_view_socket)) return;
  device_view_ = std::make_unique<device_view::DeviceViewClient>(
      device_view::ClientSettings{settings_.device_view_socket},
      [this](const device_view::View& view) {
        if (reporter_) reporter_->OnNodeState(view.state);
        loop_->Post([this, state = view.state] { node_state_ = state; });
      });
}

// What is in the way of it is said, and is in nobody else's way.
void Broker::ServeDiagnostics() {
  if (settings_.admin_socket == "off") return;
  const Status served = diagnostics_.Serve(settings_.admin_socket);
  if (served.ok()) return;
  spdlog::error("no diagnostics: {}", served.WithContext("admin.socket").message());
}

admin::NodeSnapshot Broker::DescribeNode() {
  admin::NodeSnapshot node;
  node.node = settings_.node_name;
  node.version = NPU_IPC_VERSION;
  node.time = std::chrono::system_clock::now();
  node.uptime = loop_->clock().Now() - started_;
  node.policy = settings_.policy;
  if (device_view_ != nullptr) {
    node.devices = device_view_->Current();
    node.devices_age = node.devices->Age(loop_->clock().Now());
  }
  if (kubelet_ != nullptr) {
    for (const auto& plugin : kubelet_->plugins()) {
      node.resources.push_back({plugin->resource().name(), plugin->registrations()});
    }
  }
  return node;
}

// On a thread of gRPC's, within the kubelet's call.
void Broker::CountShareAllocate(const kubelet::AllocateCall& call) {
  const std::lock_guard lock(share_statistics_mutex_);
  share_statistics_.allocate.Observe(std::chrono::duration<double>(call.took).count());
  if (!call.status.ok()) ++share_statistics_.allocate_failures;
}

std::string Broker::MetricsText() {
  if (reporter_) metrics_.SetApiCounts(reporter_->counts());
  std::map<std::string, device_view::ResourceStatistics> own;
  if (kubelet_ != nullptr) {
    const std::lock_guard lock(share_statistics_mutex_);
    for (const auto& plugin : kubelet_->plugins()) {
      device_view::ResourceStatistics& share = own[plugin->resource().name()] = share_statistics_;
      share.registrations = plugin->registrations();
    }
  }
  std::optional<device_view::View> view;
  if (device_view_ != nullptr) view = device_view_->Current();
  return metrics_.Text() + device_view::DeviceMetricsText(view, SystemClock().Now(), own);
}

// What the broker lives without makes it no less ready: a restart would not bring it back.
http::Response Broker::Readyz() {
  std::map<std::string, std::string> notes;
  if (reporter_) notes["cluster"] = reporter_->counts().label_problem;
  notes["pods"] = pods_note_;
  if (device_view_ != nullptr) notes["deviceView"] = device_view_->Current().problem;
  return readiness_.Report(notes);
}

Status Broker::ServeHttp() {
  if (settings_.http_address.empty() || settings_.http_address == "off") return Status::Ok();
  Result<std::unique_ptr<http::Server>> server = http::Server::Start(
      settings_.http_address,
      {{"/healthz",
        [] {
          return http::Response{200, "text/plain", "ok\n"};
        }},
       {"/readyz", [this] { return Readyz(); }},
       {"/metrics", [this] {
          return http::Response{200, "text/plain; version=0.0.4; charset=utf-8", MetricsText()};
        }}});
  if (!server.ok()) return server.status();
  http_ = std::move(server).value();
  spdlog::info("serving HTTP: address={}", http_->address());
  return Status::Ok();
}

void Broker::Run() {
  loop_->Run();
  for (const auto& [id, session] : sessions_) session->SayGoodbye();
  spdlog::info("ended: clients={}", clients_.size());
}

void Broker::OnSignal(int signal) {
  if (signal == SIGHUP) {
    spdlog::info("SIGHUP: reading the settings and the pods again");
    ReadSettingsAgain();
    pods_->Refresh();
    return;
  }
  spdlog::info("ending: signal={}", signal);
  loop_->Unwatch(listener_watch_);
  loop_->Stop();
}

void Broker::ReadSettingsAgain() {
  const Result<Settings> next = Reload(start_, settings_);
  if (!next.ok()) {
    spdlog::error("the settings stay as they are: reason={}", next.status().message());
    return;
  }
  const bool same_policy = next->policy == settings_.policy;
  settings_ = *next;
  config::SetLogLevel(settings_.log);
  shares_.SetLimits(settings_.Limits());
  queue_limits_ = settings_.Queues();
  if (same_policy) return;
  shares_.AllRightsChanged();
  ArmDeadline();
}

void Broker::AcceptAll() {
  // Whoever connects is heard once or twice a turn, as everybody is. Whoever does it too often is
  // seen to in one go, and then not for a while: to be woken for each costs the others more.
  int started = 0;
  bool refused = false;
  for (int accepted = 0; accepted < kAcceptedAtOnce && started < kStartedAtOnce; ++accepted) {
    Result<UniqueFd> socket = listener_->Accept();
    if (!socket.ok()) {
      // Out of descriptors: the connection stays in the queue, so look again later, not at once.
      spdlog::error("{}", socket.status().message());
      return PauseAccepting(kPauseWithoutDescriptors);
    }
    if (!*socket) break;
    metrics_.CountConnection();
    if (!MayConnect(socket->get())) {
      refused = true;
      continue;
    }
    ++started;
    StartSession(std::move(socket).value());
  }
  if (refused) PauseAccepting(kPauseAfterRefusals);
}

void Broker::PauseAccepting(Duration pause) {
  loop_->SetEvents(listener_watch_, 0);
  loop_->RunAfter(pause, [this] { loop_->SetEvents(listener_watch_, EPOLLIN); });
}

void Broker::StartSession(UniqueFd socket) {
  const SessionId id = next_session_++;
  SessionHost& host = *this;
  auto session =
      std::make_unique<Session>(id,
                                SessionServices{*loop_, shares_, *pods_, *rights_, metrics_,
                                                settings_, lanes_, queue_limits_},
                                host);
  Session& started = *session;
  sessions_.emplace(id, std::move(session));
  started.Start(std::move(socket), listener_->idle_since_ticks());
}

bool Broker::MayConnect(int socket_fd) {
  const pid_t pid = PeerPid(socket_fd);
  const TimePoint now = loop_->clock().Now();
  if (connect_limit_.Take(pid, kConnectsAtOnce * settings_.max_connections, now)) return true;
  metrics_.CountDenial(wire::Status::kLimit);
  if (const auto left_out = connect_limit_lines_.Next(now)) {
    spdlog::warn("connection closed, the process connects too often: pid={}{}", pid,
                 LeftOutText(*left_out));
  }
  return false;
}

void Broker::OnPodsChanged(const std::vector<std::string>& changed_uids) {
  // First: whoever asks for a pod's rights before this makes its change unnoticed.
  const PodRights::Changes changes = rights_->OnPodsChanged(changed_uids);
  diagnostics_.OnPodsChanged(changed_uids);
  UpdateReadiness();
  for (const std::string& uid : changed_uids) {
    const auto waiting = awaiting_pod_.find(uid);
    if (waiting == awaiting_pod_.end()) continue;
    const std::vector<SessionId> sessions(waiting->second.begin(), waiting->second.end());
    for (const SessionId session : sessions) sessions_.at(session)->OnPodChanged();
  }
  // After all of them: a right may be of two pods.
  for (const std::string& uid : changes.pods) shares_.RightsChanged(uid);
  for (const std::string& owner : changes.owner_namespaces) shares_.GuestRightsChanged(owner);
  ArmDeadline();
}

void Broker::UpdateReadiness() {
  const pods::DirectoryState state = pods_->state();
  readiness_.Set("pods", state.ready ? "" : state.problem.empty() ? "not read yet" : state.problem);
  metrics_.SetPods(state.pods, state.ready);
  shares_.HoldNew(!state.synced);
  ArmDeadline();
}

// Sets the loop's timer to what the shares have to do next.
void Broker::ArmDeadline() {
  const std::optional<TimePoint> next = shares_.NextDeadline();
  if (next == deadline_) return;
  loop_->Cancel(deadline_timer_);
  deadline_ = next;
  if (!next) return;
  deadline_timer_ = loop_->RunAfter(*next - loop_->clock().Now(), [this] {
    deadline_.reset();
    shares_.RunDue();
    ArmDeadline();
  });
}

void Broker::OnSharesChanged() { ArmDeadline(); }

void Broker::Send(ClientId client, const void* message, size_t bytes) {
  clients_.at(client)->Send(message, bytes);
}

bool Broker::HasRoom(ClientId client) { return clients_.at(client)->HasRoom(); }

void Broker::DropSlow(ClientId client) { clients_.at(client)->DropSlow(); }

bool Broker::ProcessAlive(ClientId client) { return clients_.at(client)->ProcessAlive(); }

bool Broker::ProcessRuns(const ProcessKey& process) {
  const Result<uint64_t> started = ProcessStartTime(process.pid);
  return started.ok() && *started == process.start_time_ticks;
}

std::optional<Refusal> Broker::CheckShare(const std::string& exporter, const std::string& importer,
                                          const GroupKey& group) {
  return rights_->CheckShare(exporter, importer, group);
}

std::optional<Refusal> Broker::CheckExport(const std::string& pod, uint64_t bytes,
                                           const pods::ExportUsage& of_pod,
                                           const pods::ExportUsage& of_node) {
  return rights_->CheckExport(pod, bytes, of_pod, of_node);
}

std::optional<pods::RevokeMode> Broker::RevokeModeOf(const std::string& pod) {
  return rights_->RevokeModeOf(pod);
}

std::optional<ProcessKey> Broker::FindProcess(pid_t pid, const std::string& pod_uid) {
  const std::optional<PeerProcess> process = OpenProcess(pid);
  if (!process) return std::nullopt;
  const Result<identity::ContainerCgroup> container = identity::ContainerOf(*process);
  if (!container.ok()) return std::nullopt;
  const std::shared_ptr<const pods::Pod> pod = pods_->Find(container->pod_uid);
  if ((pod != nullptr ? pod->uid : container->pod_uid) != pod_uid) return std::nullopt;
  return ProcessKey{process->pid, process->start_time_ticks};
}

// The driver lets nobody in who has started after it was listed: its pid was another's then.
std::vector<FoundProcess> Broker::WhitelistOf(std::string_view key) {
  std::vector<FoundProcess> found;
  const Result<driver_records::IpcMemoryRecord> record = driver_records_.Read(key);
  if (!record.ok()) return found;
  for (const driver_records::ListedProcess& listed : record->whitelist) {
    if (listed.super_pod_device_id != driver_records::ListedProcess::kThisServer) continue;
    const std::optional<PeerProcess> process = OpenProcess(listed.pid);
    if (!process || StartTimeNanoseconds(*process) > listed.set_time_ns) continue;
    const Result<identity::ContainerCgroup> container = identity::ContainerOf(*process);
    if (container.status().code() == StatusCode::kUnavailable) continue;  // it has ended
    found.push_back({{process->pid, process->start_time_ticks},
                     container.ok() ? container->pod_uid : std::string()});
  }
  return found;
}

std::optional<Refusal> Broker::CheckRight(ClientId client, const GroupKey& group,
                                          ShareRight right) {
  return clients_.at(client)->CheckRight(group, right);
}

std::optional<std::string> Broker::Contradiction(const driver_records::ExportClaim& claim) {
  return driver_records_.Contradiction(claim);
}

std::optional<std::string> Broker::Contradiction(const driver_records::MappingClaim& claim) {
  return driver_records_.Contradiction(claim);
}

device_view::Reach Broker::ReachBetween(uint32_t device_a, uint32_t device_b) {
  return device_view::ReachBetween(node_state_.get(), device_a, device_b);
}

void Broker::OnRefused(ClientId client, const Refusal& refusal) {
  clients_.at(client)->OnRefused(refusal);
}

void Broker::OnRevoked(ClientId client, const Refusal& reason) {
  clients_.at(client)->OnRevoked(reason);
}

void Broker::Forget(ClientId client) { clients_.at(client)->OnForgotten(); }

void Broker::OnClientAdded(SessionId session, ClientId client) {
  clients_.emplace(client, sessions_.at(session).get());
  metrics_.SetClients(clients_.size());
}

void Broker::OnClientRemoved(ClientId client) {
  clients_.erase(client);
  metrics_.SetClients(clients_.size());
}

void Broker::WaitForPod(SessionId session, const std::string& pod_uid, bool waiting) {
  if (waiting) {
    awaiting_pod_[pod_uid].insert(session);
    return;
  }
  const auto found = awaiting_pod_.find(pod_uid);
  if (found == awaiting_pod_.end()) return;
  found->second.erase(session);
  if (found->second.empty()) awaiting_pod_.erase(found);
}

void Broker::OnEnded(SessionId session) {
  // The session is still on the stack.
  loop_->Post([this, session] { sessions_.erase(session); });
}

void Broker::OnRefused(const pods::Pod& pod, const Refusal& refusal) {
  diagnostics_.OnRefused(pod, refusal);
  if (reporter_) reporter_->OnRefused(pod, refusal);
}

void Broker::OnUnknownRefused(pid_t pid, const std::string& pod_uid, const Refusal& refusal) {
  diagnostics_.OnUnknownRefused(pid, pod_uid, refusal);
}

void Broker::OnRevoked(const pods::Pod& pod, const Refusal& reason) {
  diagnostics_.OnRevoked(pod, reason);
  if (reporter_) reporter_->OnRevoked(pod, reason);
}

void Broker::OnInvisiblePeer() {
  readiness_.Set("identity",
                 "the kernel shows no pid for a client: the broker is not in the host's PID "
                 "namespace; its pod needs hostPID: true");
}

}  // namespace npu_ipc::broker
