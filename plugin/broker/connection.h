// One client's socket: packets in, packets out, never waiting for either.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "hal/base/event_loop.h"
#include "hal/base/fd.h"
#include "hal/base/result.h"
#include "plugin/broker/lanes.h"

namespace npu_ipc::broker {

// What waits to be read, in bytes.
struct QueueLimits {
  size_t connection = size_t{1} << 20;
  size_t pod = size_t{16} << 20;
};

// Belongs to the loop's thread. Packets are read in turns (lanes.h). What cannot be sent at once is
// queued up to a limit; a client that lets that fill up is dropped, so that it costs others
// nothing.
class Connection final : private Lane::Speaker {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    // A packet of `bytes`, of which the buffer holds at most wire::kMaxMessageBytes (`truncated`:
    // it had more). `sender_pid` as ReceivedMessage has it.
    virtual void OnPacket(const void* packet, size_t bytes, bool truncated, pid_t sender_pid) = 0;
    // The client closed, or does not read (`slow`). The connection is closed already; it may be
    // destroyed once this has returned, not before.
    virtual void OnClosed(bool slow) = 0;
    // All that was queued up has been sent: HasRoom() is true again.
    virtual void OnRoom() = 0;
  };

  // `loop`, `lanes`, `limits` and `handler` must outlive the connection. Takes `socket` over,
  // which is of a listener that reports senders (ReportSenders()).
  static Result<std::unique_ptr<Connection>> Open(EventLoop& loop, Lanes& lanes,
                                                  std::shared_ptr<Lane> lane,
                                                  const QueueLimits& limits, UniqueFd socket,
                                                  Handler& handler);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Sends a packet, in order; nothing once closed.
  void Send(const void* packet, size_t bytes);

  // Nothing waits that was sent before.
  bool HasRoom() const { return queue_.empty(); }

  // Closes, and tells OnClosed(true) later.
  void DropSlow();

  // While paused, nothing is read (the client's own buffer fills up); its end is still noticed.
  void PauseReading(bool pause);

  // Closes from this side, without OnClosed(). What was sent is readable for the client.
  void Close();

  bool open() const { return static_cast<bool>(socket_); }

 private:
  Connection(EventLoop& loop, Lanes& lanes, std::shared_ptr<Lane> lane, const QueueLimits& limits,
             UniqueFd socket, Handler& handler);
  void OnEvents(uint32_t events);
  void TakeTurn() override;
  void Flush();
  void UpdateEvents();
  void CloseAndTell(bool slow);

  EventLoop& loop_;
  Lanes& lanes_;
  const std::shared_ptr<Lane> lane_;
  const QueueLimits& limits_;
  UniqueFd socket_;
  Handler& handler_;
  EventLoop::WatchId watch_ = 0;
  uint32_t events_ = EPOLLIN;  // that it waits for
  bool paused_ = false;
  std::deque<std::vector<uint8_t>> queue_;
  size_t queued_bytes_ = 0;
  EventLoop::TimerId telling_ = 0;  // OnClosed() is still to come
};

}  // namespace npu_ipc::broker
