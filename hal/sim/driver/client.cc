#include "hal/sim/driver/client.h"

#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <optional>

#include "hal/base/unix_socket.h"

namespace npu_ipc::sim {
namespace {

// Empty when the driver has closed the connection instead of answering.
Result<std::optional<DriverReply>> Exchange(int fd, const Request& request) {
  if (!SendMessage(fd, &request, sizeof(request)).ok()) return std::optional<DriverReply>();
  DriverReply answer;
  Result<ReceivedMessage> received = ReceiveMessage(fd, &answer.reply, sizeof(answer.reply));
  if (!received.ok() || received->end_of_stream) return std::optional<DriverReply>();
  if (received->bytes != sizeof(answer.reply)) {
    return Status(StatusCode::kInternal,
                  "the simulated driver answered with " + std::to_string(received->bytes) +
                      " bytes instead of " + std::to_string(sizeof(answer.reply)) +
                      ": it and this library are not of one build");
  }
  answer.descriptors = std::move(received->descriptors);
  return std::optional<DriverReply>(std::move(answer));
}

}  // namespace

Result<std::string> DriverSocketPath() {
  static const int kInThisFile = 0;
  Dl_info info = {};
  if (::dladdr(&kInThisFile, &info) == 0 || info.dli_fname == nullptr) {
    return Status(StatusCode::kNotFound, "the loader does not know this library's file");
  }
  std::error_code error;
  const std::filesystem::path file = std::filesystem::absolute(info.dli_fname, error);
  if (error) {
    return Status(StatusCode::kNotFound,
                  "cannot locate " + std::string(info.dli_fname) + ": " + error.message());
  }
  return (file.parent_path() / kSocketFileName).string();
}

// What one process has. A child never touches its parent's, whose lock may be held for ever there.
struct DriverClient::Channel {
  const pid_t owner = ::getpid();
  std::mutex mutex;
  UniqueFd socket;
  uint64_t connection = 0;
};

DriverClient::DriverClient(std::string socket_path)
    : socket_path_(std::move(socket_path)), channel_(new Channel) {}

DriverClient::~DriverClient() {
  Channel* channel = channel_.load();
  if (channel->owner == ::getpid()) delete channel;
}

DriverClient::Channel& DriverClient::CurrentChannel() {
  Channel* current = channel_.load(std::memory_order_acquire);
  if (current->owner == ::getpid()) return *current;
  Channel* own = new Channel;
  own->connection = current->connection;
  const int inherited = current->socket.get();
  if (!channel_.compare_exchange_strong(current, own, std::memory_order_acq_rel)) {
    delete own;
    return *current;
  }
  // The parent's object is leaked, its descriptor is not: held open, it would keep the parent's
  // connection alive after the parent has gone.
  if (inherited >= 0) UniqueFd(inherited).Reset();
  return *own;
}

Result<DriverReply> DriverClient::Call(Request request) {
  request.version = kProtocolVersion;
  Channel& channel = CurrentChannel();
  std::lock_guard<std::mutex> lock(channel.mutex);
  for (;;) {
    const bool fresh = !channel.socket;
    if (fresh) {
      Result<UniqueFd> connected = ConnectUnix(socket_path_);
      if (!connected.ok()) return connected.status().WithContext("no simulated driver");
      channel.socket = std::move(*connected);
      ++channel.connection;
    }
    Result<std::optional<DriverReply>> answer = Exchange(channel.socket.get(), request);
    if (!answer.ok()) {
      channel.socket.Reset();
      return answer.status();
    }
    if (answer->has_value()) {
      (*answer)->connection = channel.connection;
      return std::move(**answer);
    }
    channel.socket.Reset();
    if (fresh) {
      return Status(StatusCode::kUnavailable,
                    "the simulated driver at " + socket_path_ + " closed the connection");
    }
  }
}

}  // namespace npu_ipc::sim
