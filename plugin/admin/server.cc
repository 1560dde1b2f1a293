#include "plugin/admin/server.h"

#include <errno.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "hal/base/posix_error.h"

namespace npu_ipc::admin {
namespace {

constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kSocketMode = 0600;
constexpr int kRequestMilliseconds = 5000;
constexpr int kReadMilliseconds = 5000;  // of one packet of the answer
constexpr int kAcceptPauseMilliseconds = 100;

Status MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
    return PosixError(errno, "make " + path);
  }
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return PosixError(errno, "stat " + path);
  if (!S_ISDIR(found.st_mode) || found.st_uid != ::geteuid()) {
    return {StatusCode::kPermissionDenied, path + " is no directory of user " +
                                               std::to_string(::geteuid()) +
                                               "; name one that is this daemon's alone"};
  }
  return Status::Ok();
}

// Of the process that connected, whoever has the socket now.
bool IsAllowed(int peer) {
  ucred credentials = {};
  socklen_t bytes = sizeof(credentials);
  if (::getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return false;
  if (credentials.uid == 0 || credentials.uid == ::geteuid()) return true;
  spdlog::warn("admin request refused: uid={} pid={}", credentials.uid, credentials.pid);
  return false;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const std::string& path, Handler handler) {
  if (Status made = MakeDirectory(std::filesystem::path(path).parent_path()); !made.ok()) {
    return made;
  }
  Result<std::unique_ptr<UnixListener>> listener = UnixListener::Listen(path, kSocketMode);
  if (!listener.ok()) return listener.status();
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return PosixError(errno, "eventfd");
  return std::unique_ptr<Server>(
      new Server(std::move(*listener), std::move(stop), std::move(handler)));
}

Server::Server(std::unique_ptr<UnixListener> listener, UniqueFd stop, Handler handler)
    : listener_(std::move(listener)),
      stop_(std::move(stop)),
      handler_(std::move(handler)),
      thread_([this] { Run(); }) {}

Server::~Server() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  thread_.join();
}

// False when the time is over, or the server is to end.
bool Server::WaitFor(int fd, short events, int milliseconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int timeout = milliseconds < 0 ? -1 : std::max(0, static_cast<int>(left.count()));
    pollfd fds[] = {{stop_.get(), POLLIN, 0}, {fd, events, 0}};
    const int ready = ::poll(fds, 2, timeout);
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0 && fds[0].revents == 0;
  }
}

void Server::Run() {
  while (WaitFor(listener_->fd(), POLLIN, -1)) {
    const Result<UniqueFd> peer = listener_->Accept();
    if (!peer.ok()) {
      // Out of descriptors: the connection stays in the queue, so look again later, not at once.
      spdlog::error("{}", peer.status().message());
      pollfd stop = {stop_.get(), POLLIN, 0};
      ::poll(&stop, 1, kAcceptPauseMilliseconds);
    } else if (*peer && IsAllowed(peer->get())) {
      Answer(peer->get());
    }
  }
}

void Server::Answer(int peer) {
  if (!WaitFor(peer, POLLIN, kRequestMilliseconds)) return;
  std::string request(kMaxRequestBytes, '\0');
  const Result<ReceivedMessage> received = ReceiveMessage(peer, request.data(), request.size());
  if (!received.ok() || received->bytes == 0 || received->truncated) return;
  request.resize(received->bytes);
  const std::string answer = handler_(request) + "\n";
  for (size_t sent = 0; sent < answer.size();) {
    const size_t bytes = std::min(kPacketBytes, answer.size() - sent);
    if (!WaitFor(peer, POLLOUT, kReadMilliseconds) ||
        !SendMessage(peer, answer.data() + sent, bytes).ok()) {
      return;
    }
    sent += bytes;
  }
}

}  // namespace npu_ipc::admin
