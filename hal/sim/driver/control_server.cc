#include "hal/sim/driver/control_server.h"

#include <sys/epoll.h>

#include <utility>
#include <vector>

#include "hal/base/process.h"
#include "hal/sim/driver/protocol.h"

namespace npu_ipc::sim {

ControlServer::ControlServer(EventLoop& loop, ProcessInspector inspector,
                             std::unique_ptr<UnixListener> listener, Handler handler)
    : loop_(loop),
      inspector_(std::move(inspector)),
      listener_(std::move(listener)),
      handler_(std::move(handler)) {}

Result<std::unique_ptr<ControlServer>> ControlServer::Create(EventLoop& loop,
                                                             ProcessInspector inspector,
                                                             std::unique_ptr<UnixListener> listener,
                                                             Handler handler) {
  std::unique_ptr<ControlServer> server(
      new ControlServer(loop, std::move(inspector), std::move(listener), std::move(handler)));
  ControlServer* const self = server.get();
  const Result<EventLoop::WatchId> watch =
      loop.Watch(self->listener_->fd(), EPOLLIN, [self](uint32_t) { self->OnAccept(); });
  if (!watch.ok()) return watch.status();
  self->listener_watch_ = *watch;
  return server;
}

ControlServer::~ControlServer() {
  loop_.Unwatch(listener_watch_);
  for (const auto& [watch, connection] : connections_) loop_.Unwatch(watch);
}

void ControlServer::OnAccept() {
  Result<UniqueFd> accepted = listener_->Accept();
  if (!accepted.ok() || !*accepted) return;
  const int fd = accepted->get();
  std::string refusal = RefusalOf(fd);
  auto id = std::make_shared<EventLoop::WatchId>(0);
  const Result<EventLoop::WatchId> watch =
      loop_.Watch(fd, EPOLLIN, [this, id](uint32_t) { OnReadable(*id); });
  if (!watch.ok()) return;
  *id = *watch;
  connections_.emplace(*watch, Connection{std::move(*accepted), std::move(refusal)});
}

std::string ControlServer::RefusalOf(int fd) const {
  const Result<PeerProcess> peer = IdentifyPeer(fd);
  if (!peer.ok()) return peer.status().message();
  const Result<ProcessFacts> facts = inspector_.Inspect(peer->pid, peer->start_time_ticks);
  if (!facts.ok()) return facts.status().message();
  if (!ProcessAlive(peer->pidfd.get())) return "the process has ended";
  return facts->is_host
             ? ""
             : "the simulated driver is controlled from the host's mount namespace alone";
}

void ControlServer::OnReadable(EventLoop::WatchId watch) {
  const auto found = connections_.find(watch);
  if (found == connections_.end() || Answer(found->second)) return;
  loop_.Unwatch(watch);
  connections_.erase(found);
}

// False: the connection is to be closed.
bool ControlServer::Answer(Connection& connection) {
  std::vector<char> buffer(kMaxControlMessageBytes);
  const Result<ReceivedMessage> received =
      ReceiveMessage(connection.fd.get(), buffer.data(), buffer.size());
  if (!received.ok() || received->end_of_stream || received->truncated) return false;
  if (received->would_block) return true;
  const std::string answer = connection.refusal.empty()
                                 ? handler_(std::string_view(buffer.data(), received->bytes))
                                 : "{\"error\":\"" + connection.refusal + "\"}";
  return SendMessage(connection.fd.get(), answer.data(), answer.size()).ok();
}

}  // namespace npu_ipc::sim
