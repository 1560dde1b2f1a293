// System calls as this library makes them: straight to the kernel, a negative errno on failure.
//
// Not through libc's wrappers, for three reasons that concern a library in other people's
// processes: those are cancellation points (a host thread that is cancelled inside would leave its
// request in our tables), tracing libraries interpose them, and some moved to symbol versions newer
// than our glibc floor (fstat: 2.33).
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

namespace npu_ipc::runtime {

template <class... Arguments>
long SystemCall(long number, Arguments... arguments) {
  const long result = ::syscall(number, arguments...);
  return result == -1 ? -errno : result;
}

// Who this is, and so whether it was forked, which nothing else tells for sure: libc's handlers do
// not run in a child of a raw clone(2), before 2.25 its getpid() answers there with the parent's,
// and an emulator may take MADV_WIPEONFORK and do nothing (qemu-user 7.2).
inline pid_t ProcessId() { return static_cast<pid_t>(SystemCall(SYS_getpid)); }

inline int CloseDescriptor(int fd) { return static_cast<int>(SystemCall(SYS_close, fd)); }

inline int StatDescriptor(int fd, struct stat* status) {
  return static_cast<int>(SystemCall(SYS_fstat, fd, status));
}

inline ssize_t WriteDescriptor(int fd, const void* data, size_t bytes) {
  return SystemCall(SYS_write, fd, data, bytes);
}

inline ssize_t ReadDescriptor(int fd, void* data, size_t bytes) {
  return SystemCall(SYS_read, fd, data, bytes);
}

inline int MakePipe(int ends[2]) {
  return static_cast<int>(SystemCall(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK));
}

// Waits until one of `fds` is ready, or until `nanoseconds` have passed (UINT64_MAX: for ever).
// 0: timed out; -EINTR is returned as such.
inline int Poll(struct pollfd* fds, size_t count, uint64_t nanoseconds) {
  struct timespec timeout = {};
  timeout.tv_sec = static_cast<time_t>(nanoseconds / 1000000000U);
  timeout.tv_nsec = static_cast<long>(nanoseconds % 1000000000U);
  struct timespec* const limit = nanoseconds == UINT64_MAX ? nullptr : &timeout;
  return static_cast<int>(SystemCall(SYS_ppoll, fds, count, limit, nullptr, size_t{8}));
}

}  // namespace npu_ipc::runtime
