#include "runtime/src/connection.h"

#include <string.h>
#include <sys/un.h>

#include "runtime/src/memory.h"
#include "runtime/src/system_calls.h"

namespace npu_ipc::runtime {
namespace {

// Waits until the socket has `events`, an error, or its end.
npu_ipc_status WaitFor(const Descriptor& socket, short events, Deadline deadline) {
  struct pollfd entry = {socket.number(), events, 0};
  const int ready = Poll(&entry, 1, deadline.RemainingNanoseconds());
  if (ready == 0) return NPU_IPC_TIMED_OUT;
  return ready < 0 && ready != -EINTR ? NPU_IPC_DISCONNECTED : NPU_IPC_OK;
}

}  // namespace

Connection* Connection::Connect(const char* path, npu_ipc_status* status) {
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t length = strlen(path);
  if (length == 0 || length >= sizeof(address.sun_path)) {
    *status = NPU_IPC_INVALID_ARGUMENT;
    return nullptr;
  }
  memcpy(address.sun_path, path, length);
  const long fd = SystemCall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    *status = NPU_IPC_NO_MEMORY;
    return nullptr;
  }
  // A full backlog (EAGAIN) is "not now", as an absent broker is.
  Descriptor socket(static_cast<int>(fd));
  if (SystemCall(SYS_connect, fd, &address, sizeof(address)) != 0) {
    socket.Close();
    *status = NPU_IPC_NO_BROKER;
    return nullptr;
  }
  auto* const connection = New<Connection>(socket);
  if (connection == nullptr) socket.Close();
  *status = connection == nullptr ? NPU_IPC_NO_MEMORY : NPU_IPC_OK;
  return connection;
}

void Connection::Release() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) Delete(this);
}

npu_ipc_status Connection::Send(const void* message, size_t bytes, Deadline deadline) {
  for (;;) {
    if (!socket_.StillOurs()) return NPU_IPC_DISCONNECTED;
    const long sent = SystemCall(SYS_sendto, socket_.number(), message, bytes,
                                 MSG_NOSIGNAL | MSG_DONTWAIT, nullptr, size_t{0});
    if (sent >= 0) return NPU_IPC_OK;
    if (sent == -EINTR) continue;
    if (sent != -EAGAIN) return NPU_IPC_DISCONNECTED;
    const npu_ipc_status waited = WaitFor(socket_, POLLOUT, deadline);
    if (waited != NPU_IPC_OK) return waited;
  }
}

npu_ipc_status Connection::TryReceive(Message* message) {
  for (;;) {
    if (!socket_.StillOurs()) return NPU_IPC_DISCONNECTED;
    // MSG_TRUNC: the packet's own size, also where it is larger than the buffer.
    const long received = SystemCall(SYS_recvfrom, socket_.number(), message, sizeof(*message),
                                     MSG_TRUNC | MSG_DONTWAIT, nullptr, nullptr);
    if (received == -EAGAIN) return NPU_IPC_TIMED_OUT;
    if (received == -EINTR) continue;
    if (received <= 0) return NPU_IPC_DISCONNECTED;
    const Shape shape = ExamineMessage(*message, static_cast<size_t>(received));
    if (shape == Shape::kGood) return NPU_IPC_OK;
    if (shape == Shape::kMalformed) return NPU_IPC_MALFORMED;
  }
}

npu_ipc_status Connection::Receive(Message* message, Deadline deadline) {
  for (;;) {
    npu_ipc_status status = TryReceive(message);
    if (status != NPU_IPC_TIMED_OUT) return status;
    status = WaitFor(socket_, POLLIN, deadline);
    if (status != NPU_IPC_OK) return status;
  }
}

void Connection::Shutdown() {
  if (socket_.StillOurs()) SystemCall(SYS_shutdown, socket_.number(), SHUT_RDWR);
}

}  // namespace npu_ipc::runtime
