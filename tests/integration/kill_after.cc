// Loaded into a broker (LD_PRELOAD): ends it as kill -9 does, as soon as it has received or sent as
// many packets of its clients as $NPU_IPC_TEST_KILL_AFTER says. What it received last it has not
// looked at; what it sent last it has not followed up.
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

namespace {

std::atomic<int>& PacketsLeft() {
  static std::atomic<int> left = [] {
    const char* const value = ::getenv("NPU_IPC_TEST_KILL_AFTER");
    return value != nullptr ? ::atoi(value) : 0;
  }();
  return left;
}

// Clients' sockets have packets; gRPC's and HTTP's have none.
bool HasPackets(int fd) {
  int type = 0;
  socklen_t bytes = sizeof(type);
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && type == SOCK_SEQPACKET;
}

ssize_t Count(int fd, ssize_t moved) {
  if (moved > 0 && HasPackets(fd) && --PacketsLeft() == 0) ::kill(::getpid(), SIGKILL);
  return moved;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) ssize_t recvmsg(int fd, msghdr* message,
                                                                  int flags) {
  static const auto next = reinterpret_cast<decltype(&::recvmsg)>(::dlsym(RTLD_NEXT, "recvmsg"));
  return Count(fd, next(fd, message, flags));
}

extern "C" __attribute__((visibility("default"))) ssize_t sendmsg(int fd, const msghdr* message,
                                                                  int flags) {
  static const auto next = reinterpret_cast<decltype(&::sendmsg)>(::dlsym(RTLD_NEXT, "sendmsg"));
  return Count(fd, next(fd, message, flags));
}
