#include "plugin/broker/session.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <utility>
#include <vector>

#include "plugin/identity/container.h"
#include "plugin/identity/namespace_pid.h"

namespace npu_ipc::broker {
namespace {

using wire::MessageType;

// Connections above a pod's limit that are answered.
constexpr size_t kToldOfTheLimit = 16;

std::string GroupsText(const pods::Pod& pod, const pods::SharePolicy& policy, size_t capacity) {
  std::string text;
  for (const pods::Membership& membership : policy.groups) {
    const std::string entry = (text.empty() ? "" : ",") +
                              pods::GroupText(membership.group, pod.pod_namespace) + ":" +
                              std::string(pods::RoleName(membership.role));
    if (text.size() + entry.size() >= capacity) break;
    text += entry;
  }
  return text;
}

std::string Seconds(Duration duration) {
  return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(duration).count()) + " ms";
}

}  // namespace

Session::Session(SessionId id, const SessionServices& services, SessionHost& host)
    : id_(id), services_(services), host_(host) {}

Session::~Session() {
  if (lane_) --lane_->connections;
}

void Session::Start(UniqueFd socket, uint64_t connected_after_ticks) {
  const bool identified = Identify(socket.get(), connected_after_ticks);
  // Processes that are nobody to us share one.
  lane_ = services_.lanes.Of(container_ ? container_->pod_uid : "");
  ++lane_->connections;
  if (!identified || !CheckPodConnections()) return End();
  Result<std::unique_ptr<Connection>> connection = Connection::Open(
      services_.loop, services_.lanes, lane_, services_.queue_limits, std::move(socket), *this);
  if (!connection.ok()) {
    spdlog::error("connection dropped: {}", connection.status().message());
    return End();
  }
  connection_ = std::move(connection).value();
  handshake_timer_ = services_.loop.RunAfter(services_.settings.hello_timeout, [this] {
    RefuseAndClose(0, {wire::Status::kTimedOut,
                       "no Hello came within " + Seconds(services_.settings.hello_timeout)});
  });
}

// False where there is nobody to talk to. A process that we must refuse is told so at its Hello.
bool Session::Identify(int socket_fd, uint64_t connected_after_ticks) {
  Result<PeerProcess> process = IdentifyPeer(socket_fd, connected_after_ticks);
  if (process.status().code() == StatusCode::kFailedPrecondition) {
    spdlog::error("peer refused: {}", process.status().message());
    host_.OnInvisiblePeer();
    identity_refusal_ = Refusal{wire::Status::kInternal,
                                "the broker cannot see this process: it does not run in the host's "
                                "PID namespace; its pod needs hostPID: true"};
    return true;
  }
  if (!process.ok()) {
    spdlog::info("peer not identified: {}", process.status().message());
    return false;
  }
  Result<std::unique_ptr<identity::ProcessWatch>> watch = identity::ProcessWatch::Start(
      services_.loop, std::move(process).value(), [this] { OnProcessEnded(); });
  if (!watch.ok()) {
    spdlog::error("peer dropped: {}", watch.status().message());
    return false;
  }
  process_ = std::move(watch).value();

  Result<identity::ContainerCgroup> container = identity::ContainerOf(process_->process());
  if (container.status().code() == StatusCode::kUnavailable) return false;  // it has ended
  if (container.ok()) {
    container_ = std::move(container).value();
    member_ = services_.rights.MemberOf(container_->pod_uid);
  } else {
    identity_refusal_ = Refusal{wire::Status::kNotInPod, container.status().message()};
  }
  const ProcessKey key{pid(), process_->process().start_time_ticks};
  const auto limit = static_cast<size_t>(services_.settings.max_connections);
  if (!identity_refusal_ && services_.shares.ClientsOf(key) >= limit) {
    identity_refusal_ = Refusal{
        wire::Status::kLimit, "process " + std::to_string(pid()) + " has " + std::to_string(limit) +
                                  " connections, the limit (client.maxConnections)"};
  }
  return true;
}

// Somewhat above the limit the client is told why, as soon as it has said Hello; far above, it
// costs nobody anything.
bool Session::CheckPodConnections() {
  const auto limit = static_cast<size_t>(services_.settings.max_pod_connections);
  if (lane_->connections <= limit) return true;
  if (lane_->connections > limit + kToldOfTheLimit) return false;
  identity_refusal_ = Refusal{wire::Status::kLimit,
                              "this pod has " + std::to_string(limit) +
                                  " connections to the broker, the limit (pod.maxConnections)"};
  return true;
}

std::string Session::Describe() const {
  std::string text = "pid=" + std::to_string(pid());
  const std::shared_ptr<const pods::Pod> pod =
      container_ ? services_.pods.Find(container_->pod_uid) : nullptr;
  if (pod != nullptr) {
    const std::string name = pods::ContainerName(*pod, container_->container_id);
    return "pod=" + pods::FullName(*pod) +
           " container=" + (name.empty() ? container_->container_id : name) + " " + text;
  }
  return container_ ? "pod_uid=" + container_->pod_uid + " " + text : text;
}

void Session::LogConnection(std::string_view event) {
  if (const auto left_out = lane_->connection_lines.Next(services_.loop.clock().Now())) {
    spdlog::info("{}: {}{}", event, Describe(), LeftOutText(*left_out));
  }
}

void Session::OnPacket(const void* packet, size_t bytes, bool truncated, pid_t sender_pid) {
  // The pid counts for as long as the process has it: what another process sent under it later, or
  // what it left behind, is nobody's. OnProcessEnded() follows.
  if (process_ != nullptr && !process_->Alive()) return;
  // A sender whose pid the kernel does not show (0) is not the peer either, whose it has shown.
  if (pid() != 0 && sender_pid != pid()) {
    return RefuseAndClose(0, {wire::Status::kReconnect,
                              "this connection belongs to process " + std::to_string(pid()) +
                                  ", the message came from process " + std::to_string(sender_pid) +
                                  ": a forked child opens its own"});
  }
  const std::variant<ClientMessage, BadMessage> decoded = Decode(packet, bytes, truncated);
  if (const auto* bad = std::get_if<BadMessage>(&decoded)) {
    return RefuseAndClose(bad->request_id, bad->refusal);
  }
  const auto& message = std::get<ClientMessage>(decoded);
  const bool hello = std::holds_alternative<wire::Hello>(message);
  if (hello != (state_ == State::kAwaitingHello)) {
    return RefuseAndClose(
        0, {wire::Status::kMalformed, hello ? "a second Hello" : "a message before Hello"});
  }
  std::visit([this](const auto& body) { Handle(body); }, message);
  host_.OnSharesChanged();
}

void Session::Handle(const wire::Hello& message) {
  hello_request_id_ = message.header.request_id;
  speaks_minor_ = message.header.speaks_minor;
  services_.loop.Cancel(handshake_timer_);
  if (identity_refusal_) return RefuseAndClose(hello_request_id_, *identity_refusal_);
  if (const auto pod = member_->pod()) return Serve(*pod);

  state_ = State::kAwaitingPod;
  connection_->PauseReading(true);
  host_.WaitForPod(id_, container_->pod_uid, true);
  handshake_timer_ = services_.loop.RunAfter(services_.settings.pod_wait, [this] {
    StopAwaitingPod();
    Refusal refusal = std::get<Refusal>(member_->Policy());
    refusal.reason += ", after waiting " + Seconds(services_.settings.pod_wait);
    RefuseAndClose(hello_request_id_, refusal);
  });
}

void Session::OnPodChanged() {
  if (state_ != State::kAwaitingPod) return;
  const auto pod = member_->pod();
  if (pod == nullptr) return;
  StopAwaitingPod();
  Serve(*pod);
}

void Session::StopAwaitingPod() {
  services_.loop.Cancel(handshake_timer_);
  if (state_ == State::kAwaitingPod) host_.WaitForPod(id_, container_->pod_uid, false);
}

void Session::Serve(const pods::Pod& pod) {
  const auto policy = member_->Policy();
  const auto* const refusal = std::get_if<Refusal>(&policy);
  if (refusal != nullptr && !MayReclaim(*refusal)) {
    return RefuseAndClose(hello_request_id_, *refusal);
  }
  state_ = State::kServing;
  ClientInfo info;
  info.process = {pid(), process_->process().start_time_ticks};
  info.pod_uid = pod.uid;
  info.pod_cgroup_uid = container_->pod_uid;
  info.pod_namespace = pod.pod_namespace;
  info.pod_name = pod.name;
  info.container_id = container_->container_id;
  info.container_name = pods::ContainerName(pod, container_->container_id);
  info.speaks_minor = speaks_minor_;
  const Result<pid_t> own_pid = identity::NamespacePidOf(process_->process());
  if (own_pid.ok()) info.own_pid = *own_pid;
  client_ = services_.shares.AddClient(std::move(info));
  host_.OnClientAdded(id_, client_);
  LogConnection("client connected");
  if (refusal != nullptr) {
    Refuse(hello_request_id_, *refusal);
  } else {
    SendWelcome(pod, *std::get<const pods::SharePolicy*>(policy));
  }
  connection_->PauseReading(false);
}

// Whether a process that is refused may hold what it was once granted: then it may say so.
bool Session::MayReclaim(const Refusal& refusal) const {
  return speaks_minor_ >= 1 && (refusal.status == wire::Status::kNoGroup ||
                                refusal.status == wire::Status::kBadAnnotation);
}

void Session::SendWelcome(const pods::Pod& pod, const pods::SharePolicy& policy) {
  auto welcome = NewMessage<wire::Welcome>(MessageType::kWelcome, hello_request_id_);
  welcome.header.speaks_minor = wire::kVersionMinor;
  welcome.host_pid = pid();
  welcome.group_count = static_cast<uint32_t>(policy.groups.size());
  PutText(welcome.pod_namespace, pod.pod_namespace);
  PutText(welcome.pod_name, pod.name);
  PutText(welcome.pod_uid, pod.uid);
  PutText(welcome.container_id, container_->container_id);
  PutText(welcome.container_name, pods::ContainerName(pod, container_->container_id));
  PutText(welcome.groups, GroupsText(pod, policy, sizeof(welcome.groups)));
  PutText(welcome.broker_version, NPU_IPC_VERSION);
  connection_->Send(&welcome, sizeof(welcome));
}

template <class M>
std::optional<GroupKey> Session::ResolveOrRefuse(const M& request) {
  auto group = member_->Resolve(Text(request.group));
  if (const auto* refusal = std::get_if<Refusal>(&group)) {
    Refuse(request.header.request_id, *refusal);
    return std::nullopt;
  }
  return std::get<GroupKey>(std::move(group));
}

void Session::Handle(const wire::Publish& message) {
  if (const auto group = ResolveOrRefuse(message)) {
    services_.shares.Publish(client_, *group, message);
  }
}

void Session::Handle(const wire::Attach& message) {
  const auto group = member_->Resolve(Text(message.group));
  if (const auto* refusal = std::get_if<Refusal>(&group)) {
    services_.metrics.CountAttach(StatusName(refusal->status));
    return Refuse(message.header.request_id, *refusal);
  }
  services_.shares.Attach(client_, std::get<GroupKey>(group), message);
}

void Session::Handle(const wire::Withdraw& message) { services_.shares.Withdraw(client_, message); }
void Session::Handle(const wire::Imported& message) { services_.shares.Imported(client_, message); }
void Session::Handle(const wire::Detached& message) { services_.shares.Detached(client_, message); }
void Session::Handle(const wire::Admitted& message) { services_.shares.Admitted(client_, message); }
void Session::Handle(const wire::Rotated& message) { services_.shares.Rotated(client_, message); }
void Session::Handle(const wire::Closed& message) { services_.shares.Closed(client_, message); }
void Session::Handle(const wire::PeerHeld& message) { services_.shares.PeerHeld(client_, message); }
void Session::Handle(const wire::ReclaimMapping& message) {
  services_.shares.ReclaimMapping(client_, message);
}
void Session::Handle(const wire::ReclaimDone&) { services_.shares.ReclaimDone(client_); }

// A group that the pod is not in any more: the registry finds that out for itself, and knows the
// region all the same.
void Session::Handle(const wire::ReclaimRegion& message) {
  const auto resolved = member_->Resolve(Text(message.group));
  const auto* const group = std::get_if<GroupKey>(&resolved);
  const auto pod = member_->pod();
  const std::string pod_namespace = pod == nullptr ? "" : pod->pod_namespace;
  const auto named = pods::ParseGroupId(Text(message.group), pod_namespace);
  services_.shares.ReclaimRegion(client_,
                                 group != nullptr ? *group
                                 : named          ? GroupKey{named->owner, named->name}
                                                  : GroupKey{pod_namespace, ""},
                                 message);
}

void Session::Handle(const wire::List& message) {
  if (const auto group = ResolveOrRefuse(message)) {
    services_.shares.ListRegions(client_, *group, message);
  }
}

void Session::Handle(const wire::Subscribe& message) {
  if (const auto group = ResolveOrRefuse(message)) {
    services_.shares.Subscribe(client_, *group, message);
  }
}

void Session::Handle(const wire::Unsubscribe& message) {
  services_.shares.Unsubscribe(client_, message);
}

void Session::Handle(const wire::TranslatePids& message) {
  std::vector<GroupKey> groups;
  const auto policy = member_->Policy();
  if (const auto* const shares = std::get_if<const pods::SharePolicy*>(&policy)) {
    for (const pods::Membership& membership : (*shares)->groups) {
      groups.push_back(ToKey(membership.group));
    }
  }
  services_.shares.TranslatePids(client_, groups, message);
}

void Session::Handle(const wire::AskPolicy& message) {
  auto answer = NewMessage<wire::PolicyTold>(MessageType::kPolicyTold, message.header.request_id);
  answer.may_disable_pid_validation = member_->MayDisablePidValidation() ? 1 : 0;
  connection_->Send(&answer, sizeof(answer));
}

void Session::Refuse(uint64_t request_id, const Refusal& refusal) {
  services_.metrics.CountDenial(refusal.status);
  if (const auto left_out = lane_->refusal_lines.Next(services_.loop.clock().Now())) {
    spdlog::info("refused: {} status={} reason={}{}", Describe(), StatusName(refusal.status),
                 refusal.reason, LeftOutText(*left_out));
  }
  const wire::Refused refused = NewRefused(request_id, refusal, speaks_minor_);
  connection_->Send(&refused, sizeof(refused));
  OnRefused(refusal);
}

void Session::OnRefused(const Refusal& refusal) {
  const auto pod = member_ ? member_->pod() : nullptr;
  if (pod != nullptr) return host_.OnRefused(*pod, refusal);
  host_.OnUnknownRefused(pid(), container_ ? container_->pod_uid : "", refusal);
}

void Session::OnRevoked(const Refusal& reason) {
  const auto pod = member_->pod();
  if (pod != nullptr) host_.OnRevoked(*pod, reason);
}

void Session::RefuseAndClose(uint64_t request_id, const Refusal& refusal) {
  Refuse(request_id, refusal);
  connection_->Close();
  LoseConnection();
}

void Session::OnClosed(bool slow) {
  if (slow) {
    services_.metrics.CountSlowClient();
    if (const auto left_out = lane_->connection_lines.Next(services_.loop.clock().Now())) {
      spdlog::warn("client dropped, it does not read what it is sent: {}{}", Describe(),
                   LeftOutText(*left_out));
    }
  }
  LoseConnection();
}

void Session::OnRoom() {
  if (client_ == 0) return;
  services_.shares.OnRoom(client_);
  host_.OnSharesChanged();
}

// The socket is closed, from either side. What the process claims is the registry's to keep.
void Session::LoseConnection() {
  services_.loop.Cancel(handshake_timer_);
  StopAwaitingPod();
  if (state_ != State::kServing) return End();
  state_ = State::kDisconnected;
  LogConnection("client disconnected");
  services_.shares.Disconnect(client_);
  host_.OnSharesChanged();
}

void Session::OnForgotten() {
  host_.OnClientRemoved(std::exchange(client_, 0));
  End();
}

void Session::OnProcessEnded() {
  StopAwaitingPod();
  if (connection_) connection_->Close();
  if (client_ != 0) {
    LogConnection("client ended");
    services_.shares.Remove(client_);
    host_.OnSharesChanged();
    host_.OnClientRemoved(std::exchange(client_, 0));
  }
  End();
}

void Session::End() {
  if (state_ == State::kEnded) return;
  services_.loop.Cancel(handshake_timer_);
  state_ = State::kEnded;
  host_.OnEnded(id_);
}

void Session::Send(const void* message, size_t bytes) {
  if (connection_) connection_->Send(message, bytes);
}

std::optional<Refusal> Session::CheckRight(const GroupKey& group, ShareRight right) {
  return services_.rights.CheckRight(*member_, group, right);
}

void Session::SayGoodbye() {
  const wire::Refused refused = NewRefused(
      0, {wire::Status::kShuttingDown, "the broker is going; connect again in a moment"});
  Send(&refused, sizeof(refused));
}

}  // namespace npu_ipc::broker
