// One connection to the broker.
#pragma once

#include <stdint.h>

#include <atomic>

#include "runtime/include/npu_ipc.h"
#include "runtime/src/deadline.h"
#include "runtime/src/descriptor.h"
#include "runtime/src/message.h"

namespace npu_ipc::runtime {

// Shared by the threads that use it and counted, so that its descriptor's number cannot be another
// file's while somebody sends: it is closed with the last reference.
class Connection {
 public:
  // Connects to `path` once. `*status` says why null was returned: NO_BROKER (nobody listens now),
  // INVALID_ARGUMENT (the path does not fit a socket address), NO_MEMORY. The caller holds the one
  // reference.
  static Connection* Connect(const char* path, npu_ipc_status* status);

  Connection* Acquire() {
    references_.fetch_add(1, std::memory_order_relaxed);
    return this;
  }
  void Release();

  // Sends one message; waits for room in the socket until `deadline`. OK, TIMED_OUT or
  // DISCONNECTED.
  npu_ipc_status Send(const void* message, size_t bytes, Deadline deadline);
  template <class T>
  npu_ipc_status Send(const T& message, Deadline deadline) {
    return Send(&message, sizeof(message), deadline);
  }

  // Receives one message of a type that we know, skipping others; one thread at a time. OK,
  // DISCONNECTED, MALFORMED, or TIMED_OUT: Try... when none is there, the other at `deadline`.
  npu_ipc_status TryReceive(Message* message);
  npu_ipc_status Receive(Message* message, Deadline deadline);

  // Makes every thread that waits on the connection return; the broker sees it end.
  void Shutdown();
  const Descriptor& descriptor() const { return socket_; }

  // The minor version that the broker speaks, as its Welcome said. Set before the connection is
  // shared.
  uint32_t broker_minor() const { return broker_minor_; }
  void set_broker_minor(uint32_t minor) { broker_minor_ = minor; }

 private:
  template <class T, class... Arguments>
  friend T* New(Arguments&&... arguments);
  template <class T>
  friend void Delete(T* object);
  explicit Connection(Descriptor socket) : socket_(socket) {}
  ~Connection() { socket_.Close(); }

  Descriptor socket_;
  std::atomic<uint32_t> references_{1};
  uint32_t broker_minor_ = 0;
};

}  // namespace npu_ipc::runtime
