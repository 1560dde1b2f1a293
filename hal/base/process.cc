#include "hal/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <utility>

#include "hal/base/posix_error.h"
#include "hal/base/read.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace npu_ipc {
namespace {

// The peer's pidfd straight from the socket; empty where the kernel is older than 6.5. Of a peer
// that was reaped some have none (EINVAL or ESRCH, before 6.16): its pid, which may be another
// process' already, must not be asked instead.
Result<UniqueFd> PeerPidfd(int socket_fd) {
  int pidfd = -1;
  socklen_t length = sizeof(pidfd);
  if (::getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) {
    return UniqueFd(pidfd);
  }
  if (errno == ENOPROTOOPT) return UniqueFd();
  if (errno == EINVAL || errno == ESRCH) {
    return Status(StatusCode::kNotFound, "the peer has already ended");
  }
  return PosixError(errno, "getsockopt SO_PEERPIDFD");
}

// Of /proc/<pid>/stat.
struct ProcessStat {
  char state = 0;
  uint64_t threads = 0;
  uint64_t start_time_ticks = 0;
};

Result<ProcessStat> ReadStat(const std::string& directory) {
  const std::string path = directory + "/stat";
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  ProcessStat stat;
  // Field 2 is the command in parentheses and may hold anything; field 3 follows the last of them.
  size_t at = text->rfind(')');
  const auto number = [&](uint64_t& value) {
    if (at == std::string::npos) return false;
    const char* const end = text->data() + text->size();
    return std::from_chars(text->data() + at + 1, end, value).ec == std::errc();
  };
  bool whole = at != std::string::npos && at + 2 < text->size();
  if (whole) stat.state = (*text)[at + 2];
  for (int field = 3; field <= 22 && at != std::string::npos; ++field) {
    at = text->find(' ', at + 1);
    if (field == 20) whole = whole && number(stat.threads);
    if (field == 22) whole = whole && number(stat.start_time_ticks);
  }
  if (!whole || at == std::string::npos) {
    return Status(StatusCode::kInternal, path + " has no start time in field 22");
  }
  return stat;
}

std::string ProcPath(pid_t pid) { return "/proc/" + std::to_string(pid); }

// Where pidfd_open is not there (ENOSYS), or a container runtime older than it forbids what it does
// not know (EPERM), `peer.proc_directory` is opened instead.
Status OpenByPid(PeerProcess& peer) {
  peer.proc_directory.Reset(::open(ProcPath(peer.pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!peer.proc_directory) return PosixError(errno, "open " + ProcPath(peer.pid));
  Result<UniqueFd> pidfd = OpenPidfd(peer.pid);
  if (pidfd.ok()) {
    peer.pidfd = std::move(*pidfd);
    peer.proc_directory.Reset();
    return Status::Ok();
  }
  const StatusCode code = pidfd.status().code();
  const bool missing = code == StatusCode::kUnimplemented || code == StatusCode::kPermissionDenied;
  return missing ? Status::Ok() : pidfd.status();
}

}  // namespace

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return PosixError(errno, "open " + path);
  Result<std::string> text = ReadUpTo(fd.get(), limit + 1, "read " + path);
  if (text.ok() && text->size() > limit) {
    return Status(StatusCode::kResourceExhausted,
                  path + " is larger than " + std::to_string(limit) + " bytes");
  }
  return text;
}

Result<uint64_t> ProcessStartTime(pid_t pid) {
  const Result<ProcessStat> stat = ReadStat(ProcPath(pid));
  if (!stat.ok()) return stat.status();
  return stat->start_time_ticks;
}

uint64_t TicksSinceBoot() {
  timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const auto ticks_per_second = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  return static_cast<uint64_t>(now.tv_sec) * ticks_per_second +
         static_cast<uint64_t>(now.tv_nsec) * ticks_per_second / 1'000'000'000U;
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

bool ProcessAlive(const PeerProcess& process) {
  if (process.pidfd) return ProcessAlive(process.pidfd.get());
  const Result<ProcessStat> stat =
      ReadStat("/proc/self/fd/" + std::to_string(process.proc_directory.get()));
  if (!stat.ok()) return false;
  // A first thread that has ended looks like an ended process while others still run.
  return (stat->state != 'Z' && stat->state != 'X') || stat->threads > 1;
}

Result<PeerProcess> IdentifyPeer(int socket_fd, std::optional<uint64_t> connected_after_ticks) {
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
  const std::string name = "the peer (pid " + std::to_string(peer.pid) + ")";
  Result<UniqueFd> pidfd = PeerPidfd(socket_fd);
  if (!pidfd.ok()) return pidfd.status().WithContext(name);
  peer.pidfd = std::move(*pidfd);

  const bool by_pid = !peer.pidfd;
  if (by_pid) {
    if (Status opened = OpenByPid(peer); !opened.ok()) return opened.WithContext(name);
  }
  const Result<uint64_t> start_time = ProcessStartTime(peer.pid);
  if (!start_time.ok()) return start_time.status();
  peer.start_time_ticks = *start_time;
  // The descriptor names one process for good: alive after the start time was read, it had the pid
  // all along, and the start time is its own.
  if (!ProcessAlive(peer)) {
    return Status(StatusCode::kNotFound, name + " has already ended");
  }
  if (by_pid && connected_after_ticks && peer.start_time_ticks >= *connected_after_ticks) {
    return Status(StatusCode::kUnavailable,
                  name +
                      " may have started after the connection was made: the process that made "
                      "it has to connect once more");
  }
  return peer;
}

}  // namespace npu_ipc
