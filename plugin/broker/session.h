// One process at the socket: who it is, what it may ask, until the process ends.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "hal/base/event_loop.h"
#include "hal/base/fd.h"
#include "plugin/broker/connection.h"
#include "plugin/broker/member.h"
#include "plugin/broker/messages.h"
#include "plugin/broker/metrics.h"
#include "plugin/broker/pod_rights.h"
#include "plugin/broker/settings.h"
#include "plugin/broker/share_registry.h"
#include "plugin/identity/cgroup.h"
#include "plugin/identity/process_watch.h"

namespace npu_ipc::broker {

using SessionId = uint64_t;

// What a session needs of the broker. All of it lives on the loop's thread.
struct SessionServices {
  EventLoop& loop;
  ShareRegistry& shares;
  pods::PodDirectory& pods;
  PodRights& rights;
  Metrics& metrics;
  const Settings& settings;
  Lanes& lanes;
  const QueueLimits& queue_limits;
};

class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual void OnClientAdded(SessionId session, ClientId client) = 0;
  virtual void OnClientRemoved(ClientId client) = 0;
  // The session has called the share registry: its next deadline may be another.
  virtual void OnSharesChanged() = 0;
  // From now until it is called again with `waiting` false, pod changes concern the session.
  virtual void WaitForPod(SessionId session, const std::string& pod_uid, bool waiting) = 0;
  // Nothing is left of the session: destroy it, but not before this has returned to the loop.
  virtual void OnEnded(SessionId session) = 0;
  // A process of the pod was refused something.
  virtual void OnRefused(const pods::Pod& pod, const Refusal& refusal) = 0;
  // A process was whose pod is not known: in no pod, where `pod_uid` is empty.
  virtual void OnUnknownRefused(pid_t pid, const std::string& pod_uid, const Refusal& refusal) = 0;
  // A right that a process of the pod used was taken back.
  virtual void OnRevoked(const pods::Pod& pod, const Refusal& reason) = 0;
  // The kernel shows no pid for a peer: the broker is not in the host's PID namespace.
  virtual void OnInvisiblePeer() = 0;
};

// The process is identified before a byte of it is read. Its first request is Hello, answered once
// its pod is known. A message that breaks the protocol is refused and ends the connection; the
// claims of the process outlive that for the grace period (ShareRegistry). It ends with the
// process, whoever else may still hold its socket.
class Session final : private Connection::Handler {
 public:
  // `services` and `host` must outlive the session. Takes `socket` over.
  Session(SessionId id, const SessionServices& services, SessionHost& host);
  ~Session() override;

  // Identifies the peer and begins to listen to it. OnEnded() follows where that fails.
  // `connected_after_ticks` as IdentifyPeer() has it.
  void Start(UniqueFd socket, uint64_t connected_after_ticks);

  // The directory has changed something about the pod that it waits for.
  void OnPodChanged();

  void Send(const void* message, size_t bytes);
  bool HasRoom() const { return connection_ && connection_->HasRoom(); }
  void DropSlow() { connection_->DropSlow(); }
  bool ProcessAlive() const { return process_ != nullptr && process_->Alive(); }
  std::optional<Refusal> CheckRight(const GroupKey& group, ShareRight right);
  // The registry has refused the client something.
  void OnRefused(const Refusal& refusal);
  // The registry has taken a right of the client back.
  void OnRevoked(const Refusal& reason);
  // The registry knows nothing of the client any more.
  void OnForgotten();
  // The broker is going.
  void SayGoodbye();

 private:
  enum class State { kAwaitingHello, kAwaitingPod, kServing, kDisconnected, kEnded };

  bool Identify(int socket_fd, uint64_t connected_after_ticks);
  bool CheckPodConnections();
  pid_t pid() const { return process_ != nullptr ? process_->process().pid : 0; }

  void OnPacket(const void* packet, size_t bytes, bool truncated, pid_t sender_pid) override;
  void OnClosed(bool slow) override;
  void OnRoom() override;

  void Handle(const wire::Hello& message);
  void Handle(const wire::Publish& message);
  void Handle(const wire::Attach& message);
  void Handle(const wire::Withdraw& message);
  void Handle(const wire::Imported& message);
  void Handle(const wire::Detached& message);
  void Handle(const wire::Admitted& message);
  void Handle(const wire::Rotated& message);
  void Handle(const wire::Closed& message);
  void Handle(const wire::PeerHeld& message);
  void Handle(const wire::ReclaimRegion& message);
  void Handle(const wire::ReclaimMapping& message);
  void Handle(const wire::ReclaimDone& message);
  void Handle(const wire::List& message);
  void Handle(const wire::Subscribe& message);
  void Handle(const wire::Unsubscribe& message);
  void Handle(const wire::TranslatePids& message);
  void Handle(const wire::AskPolicy& message);

  // The group that a request means; none where the request was refused.
  template <class M>
  std::optional<GroupKey> ResolveOrRefuse(const M& request);

  void Serve(const pods::Pod& pod);
  void SendWelcome(const pods::Pod& pod, const pods::SharePolicy& policy);
  bool MayReclaim(const Refusal& refusal) const;
  void StopAwaitingPod();
  void Refuse(uint64_t request_id, const Refusal& refusal);
  void RefuseAndClose(uint64_t request_id, const Refusal& refusal);
  void OnProcessEnded();
  void LoseConnection();
  void End();
  std::string Describe() const;
  // A line, unless the pod connects and goes too often.
  void LogConnection(std::string_view event);

  const SessionId id_;
  const SessionServices services_;
  SessionHost& host_;
  State state_ = State::kAwaitingHello;
  std::shared_ptr<Lane> lane_;  // of the pod
  std::unique_ptr<Connection> connection_;

  std::unique_ptr<identity::ProcessWatch> process_;  // none where the kernel shows no pid
  std::optional<identity::ContainerCgroup> container_;
  std::optional<Refusal> identity_refusal_;  // why the process is nobody to us; told at Hello
  std::shared_ptr<Member> member_;           // where `container_` is known; the whole pod's
  uint32_t speaks_minor_ = 0;                // as Hello had it

  EventLoop::TimerId handshake_timer_ = 0;  // for Hello, then for the pod
  uint64_t hello_request_id_ = 0;
  ClientId client_ = 0;  // from Welcome on
};

}  // namespace npu_ipc::broker
