#include "tests/bench/wire_client.h"

#include <string.h>
#include <unistd.h>

#include <utility>

#include "hal/base/unix_socket.h"
#include "plugin/broker/messages.h"

namespace npu_ipc {
namespace {

using broker::NewMessage;
using broker::PutText;
using broker::Text;
using wire::MessageType;

constexpr size_t kKeyCharacters = 64;

}  // namespace

Result<MessageType> WireClient::Receive(char (&packet)[wire::kMaxMessageBytes]) {
  for (;;) {
    const Result<ReceivedMessage> received = ReceiveMessage(fd(), packet, sizeof(packet));
    if (!received.ok()) return received.status();
    if (received->end_of_stream) return Status(StatusCode::kUnavailable, "the broker has closed");
    wire::MessageHeader header;
    memcpy(&header, packet, sizeof(header));
    if (header.type != MessageType::kAdmit) return header.type;
    wire::Admit admit;
    memcpy(&admit, packet, sizeof(admit));
    auto answer = NewMessage<wire::Admitted>(MessageType::kAdmitted, header.request_id);
    answer.region_id = admit.region_id;
    answer.importer_host_pid = admit.importer_host_pid;
    answer.importer_physical_device = admit.importer_physical_device;
    if (Status sent = SendMessage(fd(), &answer, sizeof(answer)); !sent.ok()) return sent;
  }
}

template <class M, class Request>
Result<M> WireClient::Ask(const Request& request, MessageType answer) {
  if (Status sent = SendMessage(fd(), &request, sizeof(request)); !sent.ok()) return sent;
  alignas(uint64_t) char packet[wire::kMaxMessageBytes];
  for (;;) {
    const Result<MessageType> type = Receive(packet);
    if (!type.ok()) return type.status();
    if (*type == MessageType::kRefused) {
      wire::Refused refused;
      memcpy(&refused, packet, sizeof(refused));
      return Status(StatusCode::kFailedPrecondition, std::string(Text(refused.reason)));
    }
    if (*type != answer) continue;
    M message;
    memcpy(&message, packet, sizeof(message));
    return message;
  }
}

Result<WireClient> WireClient::Open(const std::string& socket_path) {
  Result<UniqueFd> socket = ConnectUnix(socket_path);
  if (!socket.ok()) return socket.status();
  WireClient client(std::move(*socket));
  auto hello = NewMessage<wire::Hello>(MessageType::kHello, client.next_request_++);
  hello.header.speaks_minor = wire::kVersionMinor;
  hello.claimed_pid = ::getpid();
  PutText(hello.library_version, "bench");
  const auto welcome = client.Ask<wire::Welcome>(hello, MessageType::kWelcome);
  if (!welcome.ok()) return welcome.status();
  return client;
}

Status WireClient::Publish(const std::string& name) {
  auto request = NewMessage<wire::Publish>(MessageType::kPublish, next_request_++);
  PutText(request.name, name);
  request.handle_kind = wire::HandleKind::kIpcKey;
  std::string key = name;
  key.resize(kKeyCharacters, '0');
  memcpy(request.handle, key.data(), key.size());
  request.allocation_bytes = request.view_bytes = 4096;
  return Ask<wire::Published>(request, MessageType::kPublished).status();
}

Status WireClient::Attach(const std::string& name) {
  auto request = NewMessage<wire::Attach>(MessageType::kAttach, next_request_++);
  PutText(request.name, name);
  request.wait_milliseconds = 30000;
  return Ask<wire::Grant>(request, MessageType::kGrant).status();
}

void WireClient::ServeAdmits() {
  alignas(uint64_t) char packet[wire::kMaxMessageBytes];
  while (Receive(packet).ok()) {
  }
}

}  // namespace npu_ipc
