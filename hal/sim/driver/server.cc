#include "hal/sim/driver/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

#include "hal/base/posix_error.h"

namespace npu_ipc::sim {
namespace {

constexpr size_t kMaxConnectionsPerProcess = 64;
constexpr int kRequestsPerWakeup = 16;  // then others get their turn
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

void Log(const std::string& line) { ::fprintf(stderr, "npu-sim-driver: %s\n", line.c_str()); }

}  // namespace

Server::Server(EventLoop& loop, Driver& driver, ProcessInspector inspector,
               std::unique_ptr<UnixListener> listener, bool verbose)
    : loop_(loop),
      driver_(driver),
      inspector_(std::move(inspector)),
      listener_(std::move(listener)),
      verbose_(verbose) {}

Result<std::unique_ptr<Server>> Server::Create(EventLoop& loop, Driver& driver,
                                               ProcessInspector inspector,
                                               std::unique_ptr<UnixListener> listener,
                                               bool verbose) {
  std::unique_ptr<Server> server(
      new Server(loop, driver, std::move(inspector), std::move(listener), verbose));
  Server* const self = server.get();
  const Result<EventLoop::WatchId> watch =
      loop.Watch(self->listener_->fd(), EPOLLIN, [self](uint32_t) { self->OnAccept(); });
  if (!watch.ok()) return watch.status();
  self->listener_watch_ = *watch;
  self->pidfds_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!self->pidfds_) return PosixError(errno, "epoll_create1");
  const Result<EventLoop::WatchId> ends =
      loop.Watch(self->pidfds_.get(), EPOLLIN, [self](uint32_t) { self->EndEndedProcesses(); });
  if (!ends.ok()) return ends.status();
  self->pidfds_watch_ = *ends;
  driver.conditions().OnFault(
      [self](uint32_t device, const Fault& fault, FaultAssertion assertion) {
        self->PassOnFault(device, fault, assertion);
      });
  return server;
}

Server::~Server() {
  driver_.conditions().OnFault([](uint32_t, const Fault&, FaultAssertion) {});
  loop_.Cancel(resume_timer_);
  loop_.Unwatch(listener_watch_);
  loop_.Unwatch(pidfds_watch_);
  while (!processes_.empty()) EndProcess(processes_.begin()->first);
}

void Server::OnAccept() {
  for (;;) {
    Result<UniqueFd> accepted = listener_->Accept();
    if (!accepted.ok()) return PauseAccepting(accepted.status());
    if (!*accepted) return;
    LogRefusal(Admit(std::move(*accepted)));
  }
}

// Whoever connects and is gone again must not fill the log. Any other refusal means that this
// daemon cannot see its callers (its PID namespace, CAP_SYS_PTRACE), which somebody has to be told
// once.
void Server::LogRefusal(const Status& status) {
  if (status.ok()) return;
  const bool told_once = reported_refusal_ || status.code() == StatusCode::kNotFound;
  if (!verbose_ && told_once) return;
  reported_refusal_ = reported_refusal_ || status.code() != StatusCode::kNotFound;
  Log("refused a process: " + status.message());
}

// Out of descriptors, say: the connection stays in the backlog, and asking again at once would
// spin.
void Server::PauseAccepting(const Status& reason) {
  Log("accepts nobody for a moment: " + reason.message());
  loop_.SetEvents(listener_watch_, 0);
  resume_timer_ =
      loop_.RunAfter(kAcceptPause, [this] { loop_.SetEvents(listener_watch_, EPOLLIN); });
}

Status Server::Admit(UniqueFd fd) {
  Result<PeerProcess> peer = IdentifyPeer(fd.get());
  if (!peer.ok()) return peer.status();
  const pid_t pid = peer->pid;
  const auto known = processes_.find(pid);
  if (known != processes_.end() && known->second.start_time_ticks != peer->start_time_ticks) {
    EndProcess(pid);  // its pid is another process' already, before its pidfd was looked at
  }
  if (processes_.count(pid) == 0) {
    if (Status admitted = AdmitProcess(std::move(*peer)); !admitted.ok()) return admitted;
  }
  if (processes_[pid].connections.size() >= kMaxConnectionsPerProcess) {
    return {StatusCode::kResourceExhausted, "process " + std::to_string(pid) + " has " +
                                                std::to_string(kMaxConnectionsPerProcess) +
                                                " connections"};
  }
  const ConnectionId id = next_connection_++;
  const Result<EventLoop::WatchId> watch =
      loop_.Watch(fd.get(), EPOLLIN, [this, id](uint32_t) { OnReadable(id); });
  if (!watch.ok()) {
    if (processes_[pid].connections.empty()) EndProcess(pid);
    return watch.status();
  }
  connections_.emplace(id, Connection{std::move(fd), pid, *watch, std::nullopt, false});
  processes_[pid].connections.insert(id);
  return Status::Ok();
}

Status Server::AdmitProcess(PeerProcess peer) {
  const pid_t pid = peer.pid;
  const Result<ProcessFacts> facts = inspector_.Inspect(pid, peer.start_time_ticks);
  if (!facts.ok()) return facts.status();
  if (!ProcessAlive(peer.pidfd.get())) {
    return {StatusCode::kNotFound, "process " + std::to_string(pid) + " has ended"};
  }
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = pid;
  if (::epoll_ctl(pidfds_.get(), EPOLL_CTL_ADD, peer.pidfd.get(), &event) != 0) {
    return PosixError(errno, "watch process " + std::to_string(pid));
  }
  processes_.emplace(pid, Process{std::move(peer.pidfd), peer.start_time_ticks, {}});
  driver_.SetFacts(*facts);
  return Status::Ok();
}

void Server::EndEndedProcesses() {
  epoll_event events[16];
  int count = 0;
  do {
    count = ::epoll_wait(pidfds_.get(), events, std::size(events), 0);
    for (int i = 0; i < count; ++i) EndProcess(events[i].data.fd);
  } while (count == static_cast<int>(std::size(events)));
}

void Server::OnReadable(ConnectionId id) {
  for (int i = 0; i < kRequestsPerWakeup; ++i) {
    if (!ReadRequest(id)) return;
  }
}

// False: nothing more to read now, or the connection is closed.
bool Server::ReadRequest(ConnectionId id) {
  Connection& connection = connections_.at(id);
  Request request;
  const Result<ReceivedMessage> received =
      ReceiveMessage(connection.fd.get(), &request, sizeof(request));
  if (received.ok() && received->would_block) return false;
  // The loop knows no order among descriptors: a request may come up before the end of a process
  // that its sender has seen end.
  EndEndedProcesses();
  if (connections_.count(id) == 0) return false;  // the sender's own
  bool keep = false;
  if (received.ok() && !received->end_of_stream) {
    if (received->bytes != sizeof(request) || request.version != kProtocolVersion ||
        connection.held || connection.hears_faults) {
      SendError(connection, EINVAL);
      if (verbose_) {
        Log("closed a connection of process " + std::to_string(connection.pid) +
            ": not a request of protocol version " + std::to_string(kProtocolVersion));
      }
    } else {
      keep = Answer(connection, request);
    }
  }
  if (!keep) CloseConnection(id);
  return keep;
}

// False: the connection is to be closed.
bool Server::Answer(Connection& connection, const Request& request) {
  const auto operation = static_cast<uint32_t>(request.operation);
  if (operation < static_cast<uint32_t>(Operation::kHello) ||
      operation > static_cast<uint32_t>(Operation::kSubscribeFaults)) {
    SendError(connection, EINVAL);
    return false;
  }
  if (driver_.Hangs(request)) {
    connection.held = request;
    return true;
  }
  // What a process sees is looked up when it starts to use the driver or a device, as opening the
  // device's node does; in between nothing changes for it.
  if (request.operation == Operation::kHello || request.operation == Operation::kOpenDevice) {
    if (Status refreshed = RefreshFacts(connection.pid); !refreshed.ok()) return false;
  }
  const Driver::Answer answer = driver_.Handle(connection.pid, request);
  if (verbose_ && answer.reply.error != 0) {
    Log("process " + std::to_string(connection.pid) + ", operation " + std::to_string(operation) +
        ", device " + std::to_string(request.device) + ": " + answer.reason + " (" +
        ::strerrorname_np(answer.reply.error) + ")");
  }
  connection.hears_faults = request.operation == Operation::kSubscribeFaults &&
                            answer.reply.error == 0 && answer.reply.dcmi_code == 0;
  return SendMessage(connection.fd.get(), &answer.reply, sizeof(answer.reply), answer.descriptor)
      .ok();
}

void Server::AnswerHeld() {
  std::vector<ConnectionId> held;
  for (const auto& [id, connection] : connections_) {
    if (connection.held && !driver_.Hangs(*connection.held)) held.push_back(id);
  }
  for (const ConnectionId id : held) {
    const auto connection = connections_.find(id);
    if (connection == connections_.end()) continue;
    const std::optional<Request> request = std::exchange(connection->second.held, std::nullopt);
    if (request && !Answer(connection->second, *request)) CloseConnection(id);
  }
}

// Whoever does not read as fast as it is told misses messages.
void Server::PassOnFault(uint32_t device, const Fault& fault, FaultAssertion assertion) {
  for (const pid_t pid : driver_.fault_subscribers()) {
    const std::optional<FaultMessage> message =
        driver_.FaultMessageFor(pid, device, fault, assertion);
    const auto process = processes_.find(pid);
    if (!message || process == processes_.end()) continue;
    for (const ConnectionId id : process->second.connections) {
      const Connection& connection = connections_.at(id);
      if (!connection.hears_faults) continue;
      const Status sent = SendMessage(connection.fd.get(), &*message, sizeof(*message));
      if (!sent.ok() && verbose_) Log("lost a fault for process " + std::to_string(pid));
    }
  }
}

bool Server::SendError(Connection& connection, int error) {
  Reply reply = {};
  reply.error = error;
  return SendMessage(connection.fd.get(), &reply, sizeof(reply)).ok();
}

Status Server::RefreshFacts(pid_t pid) {
  const Process& process = processes_.at(pid);
  const Result<ProcessFacts> facts = inspector_.Inspect(pid, process.start_time_ticks);
  if (!facts.ok()) return facts.status();
  if (!ProcessAlive(process.pidfd.get())) return {StatusCode::kNotFound, "the process has ended"};
  driver_.SetFacts(*facts);
  return Status::Ok();
}

void Server::CloseConnection(ConnectionId id) {
  const auto connection = connections_.find(id);
  const pid_t pid = connection->second.pid;
  const bool heard_faults = connection->second.hears_faults;
  loop_.Unwatch(connection->second.watch);
  connections_.erase(connection);
  Process& process = processes_.at(pid);
  process.connections.erase(id);
  if (heard_faults) driver_.UnsubscribeFaults(pid);
  if (process.connections.empty()) EndProcess(pid);
}

void Server::EndProcess(pid_t pid) {
  const auto process = processes_.find(pid);
  for (const ConnectionId id : process->second.connections) {
    const auto connection = connections_.find(id);
    loop_.Unwatch(connection->second.watch);
    connections_.erase(connection);
  }
  ::epoll_ctl(pidfds_.get(), EPOLL_CTL_DEL, process->second.pidfd.get(), nullptr);
  processes_.erase(process);
  driver_.EndProcess(pid);
}

}  // namespace npu_ipc::sim
