#include "hal/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>

#include "hal/base/posix_error.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace npu_ipc {
namespace {

// The peer's pidfd straight from the socket; empty where the kernel is older than 6.5 or the peer
// is already reaped.
UniqueFd PeerPidfd(int socket_fd) {
  int pidfd = -1;
  socklen_t length = sizeof(pidfd);
  if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) != 0) return UniqueFd();
  return UniqueFd(pidfd);
}

}  // namespace

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return PosixError(errno, "open " + path);
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return PosixError(errno, "read " + path);
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > limit) {
      return Status(StatusCode::kResourceExhausted,
                    path + " is larger than " + std::to_string(limit) + " bytes");
    }
  }
}

Result<uint64_t> ProcessStartTime(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  Result<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  // Field 2 is the command in parentheses and may hold anything; field 3 follows the last of them.
  size_t at = text->rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text->find(' ', at + 1);
  uint64_t ticks = 0;
  if (at == std::string::npos ||
      std::from_chars(text->data() + at + 1, text->data() + text->size(), ticks).ec !=
          std::errc()) {
    return Status(StatusCode::kInternal, path + " has no start time in field 22");
  }
  return ticks;
}

Result<UniqueFd> OpenPidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return PosixError(errno, "pidfd_open " + std::to_string(pid));
  return fd;
}

bool ProcessAlive(int pidfd) {
  pollfd poll_fd = {pidfd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&poll_fd, 1, 0);
  } while (ready < 0 && errno == EINTR);
  return ready == 0;
}

Result<PeerProcess> IdentifyPeer(int socket_fd) {
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return PosixError(errno, "getsockopt SO_PEERCRED");
  }
  if (credentials.pid == 0) {
    return Status(
        StatusCode::kFailedPrecondition,
        "the kernel reports pid 0 for the peer: it is outside this process' PID namespace; "
        "run this daemon with hostPID: true");
  }
  PeerProcess peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.pidfd = PeerPidfd(socket_fd);

  const Result<uint64_t> before = ProcessStartTime(peer.pid);
  if (!before.ok()) return before.status();
  peer.start_time_ticks = *before;
  if (!peer.pidfd) {
    Result<UniqueFd> pidfd = OpenPidfd(peer.pid);
    if (!pidfd.ok()) return pidfd.status();
    peer.pidfd = std::move(*pidfd);
    const Result<uint64_t> after = ProcessStartTime(peer.pid);
    if (!after.ok()) return after.status();
    if (*after != *before) {
      return Status(StatusCode::kNotFound, "the peer ended while it was identified (its pid " +
                                               std::to_string(peer.pid) +
                                               " is another process now)");
    }
  }
  // A pidfd from the socket names the peer even if its pid was given to another process before the
  // start time was read: alive now means that the start time is its own.
  if (!ProcessAlive(peer.pidfd.get())) {
    return Status(StatusCode::kNotFound,
                  "the peer (pid " + std::to_string(peer.pid) + ") has already ended");
  }
  return peer;
}

}  // namespace npu_ipc
