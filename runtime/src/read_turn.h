// Whose turn it is to read a client's connection.
//
// The service thread reads it, as a rule. A caller that has nothing to do but wait for an answer
// reads it itself, where the service thread only waits for messages: being woken by the broker
// takes half as long as being woken by a thread that the broker has woken. The service thread then
// waits for an epoll descriptor that holds the socket, so that a caller takes the socket out of
// that wait, and puts it back, without waking anybody.
#pragma once

#include <stdint.h>

#include "runtime/src/connection.h"
#include "runtime/src/descriptor.h"
#include "runtime/src/futex.h"
#include "runtime/src/message.h"

namespace npu_ipc::runtime {

// Guarded by its client's lock, but for AwaitChange().
class ReadTurn {
 public:
  ReadTurn() = default;
  ~ReadTurn() { Close(); }
  ReadTurn(const ReadTurn&) = delete;
  ReadTurn& operator=(const ReadTurn&) = delete;

  // Service thread: it is going to wait for messages on `connection` (null: for none) and for
  // `wake`. The descriptor to wait for in the place of the connection's socket; -1 where there is
  // none.
  int ServiceWaits(const Connection* connection, const Descriptor& wake);
  // Service thread, having waited: true when it may read; false while a caller does.
  bool ServiceReads();

  // A caller: true when it is the one who reads `connection` from now on, until GiveBack(). False
  // the first time, which only makes it possible.
  bool Take(const Connection* connection);
  void GiveBack();
  // A caller that has the turn: a message for the service thread, which handles it before it reads
  // on. Followed by GiveBack().
  void HandOver(const Message& message, uint64_t connection_id);
  // Service thread: false when there is none from this connection.
  bool PopHandedOver(uint64_t connection_id, Message* message);

  // The connection is about to be closed.
  void Forget(const Connection* connection);
  // The service thread has ended, or a forked child gives back the descriptor.
  void Close();

  // Without the lock: waits while the turn is as it was at Current(), and a while at most.
  uint32_t Current() const { return changed_.Current(); }
  void AwaitChange(uint32_t seen) const;

 private:
  bool Control(int operation, int fd, uint32_t events) const;

  int epoll_ = -1;
  int wake_ = -1;        // watched for nothing: that it is watched tells that epoll_ is still ours
  bool wanted_ = false;  // some caller would have liked to read
  const Connection* watched_ = nullptr;  // whose socket is in the epoll
  const Connection* waiting_for_ =
      nullptr;  // what the service thread waits for; null while it does something else
  bool caller_reads_ = false;
  ChangeCount changed_;
  uint64_t handed_over_from_ = 0;  // a connection's id, or 0
  Message handed_over_ = {};
};

}  // namespace npu_ipc::runtime
