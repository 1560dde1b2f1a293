#include "tests/unit/hal/sim/driver_socket.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace npu_ipc::sim {

DriverSocket::DriverSocket(const std::string& path, Handler handler)
    : handler_(std::move(handler)) {
  Result<std::unique_ptr<UnixListener>> listener = UnixListener::Listen(path, 0600);
  EXPECT_TRUE(listener.ok()) << listener.status().message();
  listener_ = std::move(*listener);
  EXPECT_EQ(::pipe(stop_), 0);
  thread_ = std::thread([this] { Serve(); });
}

DriverSocket::~DriverSocket() {
  EXPECT_EQ(::write(stop_[1], "", 1), 1);
  thread_.join();
  ::close(stop_[0]);
  ::close(stop_[1]);
}

void DriverSocket::Serve() {
  std::vector<UniqueFd> clients;
  for (;;) {
    std::vector<pollfd> polled = {{stop_[0], POLLIN, 0}, {listener_->fd(), POLLIN, 0}};
    for (const UniqueFd& client : clients) polled.push_back({client.get(), POLLIN, 0});
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    for (size_t i = 2; i < polled.size(); ++i) {
      if (polled[i].revents != 0) handler_.answer(clients[i - 2]);
    }
    std::erase_if(clients, [](const UniqueFd& client) { return !client; });
    if (polled[1].revents == 0) continue;
    Result<UniqueFd> accepted = listener_->Accept();
    if (!accepted.ok() || !*accepted) continue;
    if (handler_.accepted) handler_.accepted();
    clients.push_back(std::move(*accepted));
  }
}

}  // namespace npu_ipc::sim
