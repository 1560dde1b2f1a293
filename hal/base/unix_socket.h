// AF_UNIX SOCK_SEQPACKET: how the injected library reaches the broker, and the simulator's vendor
// libraries reach its driver daemon.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hal/base/fd.h"
#include "hal/base/result.h"

namespace npu_ipc {

// Makes this process the only one to serve a socket at a path: a lock on the file `<path>.lock`,
// which is made, and removed with this. What a process leaves that was killed is taken over.
class SocketLock {
 public:
  // kAlreadyExists when another live process holds it.
  static Result<SocketLock> Take(const std::string& socket_path);
  SocketLock(SocketLock&&) = default;
  SocketLock& operator=(SocketLock&&) = delete;
  ~SocketLock();

 private:
  SocketLock(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  UniqueFd file_;  // empty once it was moved from
};

// A listening socket at a path, and the lock file (`<path>.lock`) that makes this process its only
// owner. The socket file is removed when this is destroyed, if it is still ours (same inode).
class UnixListener {
 public:
  // Listens at `path`, non-blocking, with permissions `mode`. A socket file that a dead process
  // left is replaced. kInvalidArgument when the path does not fit sockaddr_un (107 bytes);
  // kAlreadyExists when another live process holds the lock, or when something that is no socket is
  // at the path.
  static Result<std::unique_ptr<UnixListener>> Listen(const std::string& path, mode_t mode);
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  int fd() const { return socket_.get(); }
  const std::string& path() const { return path_; }

  // The next connection, non-blocking and close-on-exec; an empty fd when none is waiting.
  Result<UniqueFd> Accept();

  // A moment before every connection that Accept() has given since it last gave none was made
  // (TicksSinceBoot()).
  uint64_t idle_since_ticks() const { return idle_since_ticks_; }

 private:
  UnixListener(std::string path, SocketLock lock, UniqueFd socket, dev_t device, ino_t inode,
               uint64_t idle_since_ticks);

  std::string path_;
  SocketLock lock_;
  UniqueFd socket_;
  dev_t device_;
  ino_t inode_;
  uint64_t idle_since_ticks_;
};

// Connects to a listener, blocking and close-on-exec. kInvalidArgument for a path that is too long,
// kNotFound when there is no socket, kUnavailable when nobody listens at it.
Result<UniqueFd> ConnectUnix(const std::string& path);

// One message and the descriptors that came with it.
struct ReceivedMessage {
  size_t bytes = 0;            // as sent, also where that is more than the buffer held
  bool truncated = false;      // the message was larger than the buffer
  bool end_of_stream = false;  // the peer has closed; bytes is 0
  bool would_block = false;    // nothing there (non-blocking sockets only)
  pid_t sender_pid = 0;  // in our PID namespace, after ReportSenders(); 0 where it is not known
  std::vector<UniqueFd> descriptors;  // SCM_RIGHTS, close-on-exec
};

// Makes ReceiveMessage() report which process sent each message (SCM_CREDENTIALS). Call it on a
// listener: what is sent to a connection between Accept() and this call has no sender. A check,
// never an identity: a sender may name another process of a PID namespace that it is privileged in.
Status ReportSenders(int fd);

// Receives one message into `buffer`. At most 8 descriptors are taken; the kernel drops more.
Result<ReceivedMessage> ReceiveMessage(int fd, void* buffer, size_t capacity);

// Sends one whole message, with `passed_fd` attached unless it is -1. Never raises SIGPIPE.
// kUnavailable when the peer has closed or (non-blocking) its queue is full.
Status SendMessage(int fd, const void* message, size_t bytes, int passed_fd = -1);

}  // namespace npu_ipc
