// A broker that does as a test says: one listening socket in a directory of its own, messages sent
// and received by hand from the test's thread.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "hal/base/unix_socket.h"
#include "runtime/protocol/wire.h"
#include "tests/fixtures/temporary_directory.h"

namespace npu_ipc::test {

constexpr int kDeadlineMilliseconds = 30000;

// One connection, from the broker's side.
class BrokerConnection {
 public:
  explicit BrokerConnection(UniqueFd fd) : fd_(std::move(fd)) {}

  // The next message, which must be of type T; zeros after a failed expectation.
  template <class T>
  T Receive(wire::MessageType type) {
    alignas(8) unsigned char buffer[wire::kMaxMessageBytes] = {};
    T message = {};
    if (!WaitReadable()) {
      ADD_FAILURE() << "the library sent nothing";
      return message;
    }
    const ssize_t received = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
    EXPECT_EQ(received, static_cast<ssize_t>(sizeof(T)));
    if (received != static_cast<ssize_t>(sizeof(T))) return message;
    memcpy(&message, buffer, sizeof(T));
    EXPECT_EQ(message.header.type, type);
    EXPECT_EQ(message.header.version_major, wire::kVersionMajor);
    EXPECT_EQ(message.header.version_minor, wire::MinorOf(message.header.type));
    EXPECT_EQ(message.header.bytes, sizeof(T));
    EXPECT_EQ(message.header.speaks_minor,
              message.header.type == wire::MessageType::kHello ? wire::kVersionMinor : 0u);
    return message;
  }

  // The next message, whatever it is; its size, or 0 when the library has closed the connection.
  size_t ReceiveAny(void* buffer, size_t capacity) {
    const ssize_t received = WaitReadable() ? ::recv(fd_.get(), buffer, capacity, 0) : 0;
    return received > 0 ? static_cast<size_t>(received) : 0;
  }

  // The next message, which must say that the library has told all that it holds.
  void ReceiveReclaimDone() { Receive<wire::ReclaimDone>(wire::MessageType::kReclaimDone); }

  // An attach over a new connection, between what the library's thread reclaims over it.
  wire::Attach ReceiveAttachAgain() {
    for (;;) {
      alignas(8) unsigned char buffer[wire::kMaxMessageBytes] = {};
      const size_t bytes = ReceiveAny(buffer, sizeof(buffer));
      wire::MessageHeader header = {};
      memcpy(&header, buffer, sizeof(header));
      if (header.type == wire::MessageType::kReclaimRegion) {
        Send(wire::Published{{}, 6, 1}, wire::MessageType::kPublished, header.request_id);
      }
      const bool reclaims = header.type == wire::MessageType::kReclaimRegion ||
                            header.type == wire::MessageType::kPeerHeld ||
                            header.type == wire::MessageType::kReclaimDone;
      if (reclaims) continue;
      EXPECT_EQ(header.type, wire::MessageType::kAttach);
      EXPECT_EQ(bytes, sizeof(wire::Attach));
      wire::Attach attach = {};
      memcpy(&attach, buffer, sizeof(attach));
      return attach;
    }
  }

  // Sends `message` with a header of its type and `request_id`.
  template <class T>
  void Send(T message, wire::MessageType type, uint64_t request_id) {
    const uint32_t speaks = type == wire::MessageType::kWelcome ? wire::kVersionMinor : 0;
    message.header = {wire::kVersionMajor, wire::MinorOf(type), type, sizeof(T), speaks,
                      request_id};
    SendRaw(&message, sizeof(message));
  }
  void SendRaw(const void* data, size_t bytes) {
    pollfd entry = {fd_.get(), POLLOUT, 0};
    ::poll(&entry, 1, kDeadlineMilliseconds);
    EXPECT_EQ(::send(fd_.get(), data, bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
  }
  void Refuse(uint64_t request_id, wire::Status status, const std::string& reason,
              int32_t vendor_code = 0) {
    wire::Refused refused = {};
    refused.status = status;
    refused.vendor_code = vendor_code;
    strncpy(refused.reason, reason.c_str(), sizeof(refused.reason) - 1);
    Send(refused, wire::MessageType::kRefused, request_id);
  }

  // Answers the Hello that must be next, as a broker that speaks that minor version.
  wire::Hello Welcome(uint32_t speaks_minor = wire::kVersionMinor) {
    const auto hello = Receive<wire::Hello>(wire::MessageType::kHello);
    wire::Welcome welcome = {};
    welcome.host_pid = 4242;
    welcome.group_count = 1;
    strcpy(welcome.pod_namespace, "team-a");
    strcpy(welcome.pod_name, "trainer-0");
    strcpy(welcome.pod_uid, "0c9a3a8e-1111-2222-3333-444455556666");
    strcpy(welcome.container_id, "c0ffee");
    strcpy(welcome.container_name, "main");
    strcpy(welcome.groups, "weights:both");
    strcpy(welcome.broker_version, "test");
    welcome.header = {
        wire::kVersionMajor,    0, wire::MessageType::kWelcome, sizeof(welcome), speaks_minor,
        hello.header.request_id};
    SendRaw(&welcome, sizeof(welcome));
    return hello;
  }

  // True once the library has closed the connection, with nothing unread before.
  bool Ended() {
    unsigned char byte = 0;
    return WaitReadable() && ::recv(fd_.get(), &byte, 1, 0) <= 0;
  }
  // Whether the library has sent something that was not received.
  bool Readable() {
    pollfd entry = {fd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
  }
  void Close() { fd_.Reset(); }
  int fd() const { return fd_.get(); }

 private:
  bool WaitReadable() {
    pollfd entry = {fd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, kDeadlineMilliseconds) == 1;
  }
  UniqueFd fd_;
};

class FakeBroker {
 public:
  FakeBroker() { Listen(); }

  std::string path() const { return directory_.Path("broker.sock"); }
  void Listen() {
    auto listener = UnixListener::Listen(path(), 0600);
    EXPECT_TRUE(listener.ok()) << listener.status().message();
    if (listener.ok()) listener_ = std::move(*listener);
  }
  // Nobody listens any more.
  void Stop() { listener_.reset(); }

  // The next connection; null after a failed expectation.
  std::unique_ptr<BrokerConnection> Accept() {
    pollfd entry = {listener_->fd(), POLLIN, 0};
    if (::poll(&entry, 1, kDeadlineMilliseconds) != 1) {
      ADD_FAILURE() << "the library did not connect";
      return nullptr;
    }
    auto accepted = listener_->Accept();
    EXPECT_TRUE(accepted.ok());
    // The listener's sockets do not block; a test that receives does.
    return std::make_unique<BrokerConnection>(std::move(*accepted));
  }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<UnixListener> listener_;
};

}  // namespace npu_ipc::test
