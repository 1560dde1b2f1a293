// A client's one thread: it reads what the broker sends, and brings the connection back.
#pragma once

#include <stddef.h>

#include "runtime/src/connection.h"
#include "runtime/src/deadline.h"
#include "runtime/src/message.h"
#include "runtime/src/reclaim.h"
#include "runtime/src/reconnect.h"

namespace npu_ipc::runtime {

class Client;

class ServiceThread {
 public:
  // Starts the thread, detached, with every signal blocked. It holds a reference to `client` and
  // ends when the client closes or its wake pipe breaks. False when the host has no thread to give.
  static bool Start(Client* client);

 private:
  // What waits for the vendor calls before it.
  struct QueuedCall {
    wire::MessageType type;
    union {
      wire::Admit admit;
      wire::Rotate rotate;
    };
    uint64_t connection_id;
    uint64_t arrived_at;  // at the earliest
  };
  static constexpr size_t kQueueCapacity = 64;

  explicit ServiceThread(Client* client)
      : client_(client), reconnector_(client), reclaimer_(client) {}
  static void* Main(void* client);
  void Run();
  // Waits for something to do. False when the thread is to end.
  bool Wait(Connection* connection);
  void AwaitTurn();
  // OK with a message that a caller handed over or that is there, TIMED_OUT when there is none, or
  // as Connection::TryReceive().
  npu_ipc_status NextMessage(Connection* connection, uint64_t connection_id, Message* message);
  // Reads all that is there, as far as the queue has room.
  void ReadMessages(Connection* connection, uint64_t connection_id);
  // False when the message makes no sense.
  bool Handle(Connection* connection, uint64_t connection_id, const Message& message);
  void ReleasePeer(const wire::PeerRelease& release, uint64_t connection_id);
  QueuedCall& Enqueue(wire::MessageType type, uint64_t connection_id);
  void MakeNextCall();

  Client* const client_;
  QueuedCall queue_[kQueueCapacity];
  size_t queue_first_ = 0;
  size_t queue_length_ = 0;
  uint64_t socket_was_empty_at_ = 0;
  Reconnector reconnector_;
  Reclaimer reclaimer_;
};

}  // namespace npu_ipc::runtime
