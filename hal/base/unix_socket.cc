#include "hal/base/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "hal/base/posix_error.h"
#include "hal/base/process.h"

namespace npu_ipc {
namespace {

constexpr int kBacklog = 1024;
constexpr size_t kMaxDescriptors = 8;

Result<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Status(StatusCode::kInvalidArgument, "socket path '" + path + "' has " +
                                                    std::to_string(path.size()) +
                                                    " bytes; a local socket's path has 1 to " +
                                                    std::to_string(sizeof(address.sun_path) - 1));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Removes a socket that nobody serves: the lock is ours, so whoever made it is gone.
Status RemoveStaleSocket(const std::string& path) {
  struct stat existing = {};
  if (::lstat(path.c_str(), &existing) != 0) {
    return errno == ENOENT ? Status::Ok() : PosixError(errno, "lstat " + path);
  }
  if (!S_ISSOCK(existing.st_mode)) {
    return {StatusCode::kAlreadyExists, path + " exists and is not a socket; it is left as it is"};
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return PosixError(errno, "unlink " + path);
  return Status::Ok();
}

// Whether the open file is the one that the path leads to.
bool IsFileAt(const std::string& path, int fd) {
  struct stat at_path = {};
  struct stat open_file = {};
  return ::lstat(path.c_str(), &at_path) == 0 && ::fstat(fd, &open_file) == 0 &&
         at_path.st_dev == open_file.st_dev && at_path.st_ino == open_file.st_ino;
}

}  // namespace

Result<SocketLock> SocketLock::Take(const std::string& socket_path) {
  const std::string path = socket_path + ".lock";
  for (;;) {
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return PosixError(errno, "open " + path);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return Status(StatusCode::kAlreadyExists, "another process is already serving " +
                                                      socket_path + " (it holds " + path +
                                                      "); stop it, or use another path");
      }
      return PosixError(errno, "flock " + path);
    }
    // Its last holder may have removed it since it was opened: the lock is then on nobody's file.
    if (IsFileAt(path, file.get())) return SocketLock(path, std::move(file));
  }
}

SocketLock::~SocketLock() {
  if (file_ && IsFileAt(path_, file_.get())) ::unlink(path_.c_str());
}

UnixListener::UnixListener(std::string path, SocketLock lock, UniqueFd socket, dev_t device,
                           ino_t inode, uint64_t idle_since_ticks)
    : path_(std::move(path)),
      lock_(std::move(lock)),
      socket_(std::move(socket)),
      device_(device),
      inode_(inode),
      idle_since_ticks_(idle_since_ticks) {}

UnixListener::~UnixListener() {
  struct stat now = {};
  if (::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

Result<std::unique_ptr<UnixListener>> UnixListener::Listen(const std::string& path, mode_t mode) {
  const Result<sockaddr_un> address = Address(path);
  if (!address.ok()) return address.status();
  Result<SocketLock> lock = SocketLock::Take(path);
  if (!lock.ok()) return lock.status();
  if (Status removed = RemoveStaleSocket(path); !removed.ok()) return removed;

  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return PosixError(errno, "socket");
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return PosixError(errno, "bind " + path);
  }
  struct stat made = {};
  if (::chmod(path.c_str(), mode) != 0 || ::lstat(path.c_str(), &made) != 0) {
    return PosixError(errno, "chmod " + path);
  }
  const uint64_t now = TicksSinceBoot();
  if (::listen(fd.get(), kBacklog) != 0) return PosixError(errno, "listen " + path);
  return std::unique_ptr<UnixListener>(
      new UnixListener(path, std::move(*lock), std::move(fd), made.st_dev, made.st_ino, now));
}

Result<UniqueFd> UnixListener::Accept() {
  for (;;) {
    const uint64_t now = TicksSinceBoot();
    UniqueFd fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && errno == EAGAIN) idle_since_ticks_ = now;
    if (fd || errno == EAGAIN) return fd;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    return PosixError(errno, "accept " + path_);
  }
}

Result<UniqueFd> ConnectUnix(const std::string& path) {
  const Result<sockaddr_un> address = Address(path);
  if (!address.ok()) return address.status();
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return PosixError(errno, "socket");
  int connected;
  do {
    connected = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address));
  } while (connected != 0 && errno == EINTR);
  if (connected != 0) return PosixError(errno, "connect " + path);
  return fd;
}

Status ReportSenders(int fd) {
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
    return PosixError(errno, "setsockopt SO_PASSCRED");
  }
  return Status::Ok();
}

Result<ReceivedMessage> ReceiveMessage(int fd, void* buffer, size_t capacity) {
  iovec part = {buffer, capacity};
  alignas(
      cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors) + CMSG_SPACE(sizeof(ucred))];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);

  ssize_t got;
  do {
    got = ::recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_TRUNC);
  } while (got < 0 && errno == EINTR);

  ReceivedMessage received;
  if (got < 0 && errno == EAGAIN) {
    received.would_block = true;
    return received;
  }
  if (got < 0 && errno == ECONNRESET) got = 0;
  if (got < 0) return PosixError(errno, "recvmsg");
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred sender;
      memcpy(&sender, CMSG_DATA(c), sizeof(sender));
      received.sender_pid = sender.pid;
    }
    if (c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int passed;
      memcpy(&passed, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      received.descriptors.emplace_back(passed);
    }
  }
  received.bytes = static_cast<size_t>(got);
  received.truncated = received.bytes > capacity;
  received.end_of_stream = got == 0;
  return received;
}

Status SendMessage(int fd, const void* message, size_t bytes, int passed_fd) {
  iovec part = {const_cast<void*>(message), bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (passed_fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &passed_fd, sizeof(int));
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(fd, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return PosixError(errno, "sendmsg");
  return Status::Ok();
}

}  // namespace npu_ipc
