#include "plugin/broker/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "hal/base/unix_socket.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc::broker {
Result<std::unique_ptr<Connection>> Connection::Open(EventLoop& loop, Lanes& lanes,
                                                     std::shared_ptr<Lane> lane,
                                                     const QueueLimits& limits, UniqueFd socket,
                                                     Handler& handler) {
  std::unique_ptr<Connection> connection(
      new Connection(loop, lanes, std::move(lane), limits, std::move(socket), handler));
  Result<EventLoop::WatchId> watch =
      loop.Watch(connection->socket_.get(), connection->events_,
                 [self = connection.get()](uint32_t events) { self->OnEvents(events); });
  if (!watch.ok()) return watch.status();
  connection->watch_ = *watch;
  return connection;
}

Connection::Connection(EventLoop& loop, Lanes& lanes, std::shared_ptr<Lane> lane,
                       const QueueLimits& limits, UniqueFd socket, Handler& handler)
    : loop_(loop),
      lanes_(lanes),
      lane_(std::move(lane)),
      limits_(limits),
      socket_(std::move(socket)),
      handler_(handler) {}

Connection::~Connection() {
  loop_.Cancel(telling_);
  Close();
}

void Connection::OnEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0) Flush();
  if (!open()) return;
  if (paused_) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) CloseAndTell(false);
    return;
  }
  // A client's end comes after the packets that it sent before.
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) lanes_.Wait(lane_, *this);
}

// One packet: where there are more, the loop says so (epoll is level-triggered) once the others
// have had their turn. Reading until there is none would cost a call more for every request.
void Connection::TakeTurn() {
  alignas(uint64_t) char packet[wire::kMaxMessageBytes];
  const Result<ReceivedMessage> received = ReceiveMessage(socket_.get(), packet, sizeof(packet));
  if (received.ok() && received->would_block) return;
  if (!received.ok() || received->end_of_stream) return CloseAndTell(false);
  handler_.OnPacket(packet, received->bytes, received->truncated, received->sender_pid);
}

void Connection::Send(const void* packet, size_t bytes) {
  if (!open()) return;
  if (queue_.empty()) {
    // A client that has closed shows up as an event of the socket.
    if (SendMessage(socket_.get(), packet, bytes).ok()) return;
  }
  if (queued_bytes_ + bytes > limits_.connection || lane_->queued_bytes + bytes > limits_.pod) {
    return DropSlow();
  }
  const auto* first = static_cast<const uint8_t*>(packet);
  queue_.emplace_back(first, first + bytes);
  queued_bytes_ += bytes;
  lane_->queued_bytes += bytes;
  UpdateEvents();
}

void Connection::DropSlow() {
  if (!open()) return;
  // Told later: the caller is in the middle of something that this client takes part in.
  Close();
  telling_ = loop_.RunAfter(Duration::zero(), [this] { handler_.OnClosed(true); });
}

void Connection::Flush() {
  while (!queue_.empty()) {
    const std::vector<uint8_t>& packet = queue_.front();
    const Status sent = SendMessage(socket_.get(), packet.data(), packet.size());
    if (sent.code() == StatusCode::kUnavailable) break;
    if (!sent.ok()) return CloseAndTell(false);
    queued_bytes_ -= packet.size();
    lane_->queued_bytes -= packet.size();
    queue_.pop_front();
  }
  UpdateEvents();
  if (queue_.empty()) handler_.OnRoom();
}

void Connection::PauseReading(bool pause) {
  paused_ = pause;
  if (pause) lanes_.TakeOff(*lane_, *this);
  UpdateEvents();
}

void Connection::UpdateEvents() {
  if (!open()) return;
  const uint32_t events = (paused_ ? 0U : EPOLLIN) | (queue_.empty() ? 0U : EPOLLOUT);
  if (events == events_) return;
  events_ = events;
  loop_.SetEvents(watch_, events);
}

void Connection::Close() {
  if (!open()) return;
  loop_.Unwatch(watch_);
  lanes_.TakeOff(*lane_, *this);
  // The kernel turns packets that nobody read into ECONNRESET at the other end, ahead of what was
  // sent there: read them off, so that the client gets our last word.
  ::shutdown(socket_.get(), SHUT_RD);
  char ignored[1];
  while (::recv(socket_.get(), ignored, sizeof(ignored), MSG_DONTWAIT) > 0) {
  }
  socket_.Reset();
  queue_.clear();
  lane_->queued_bytes -= std::exchange(queued_bytes_, 0);
}

void Connection::CloseAndTell(bool slow) {
  Close();
  handler_.OnClosed(slow);
}

}  // namespace npu_ipc::broker
