#include "plugin/broker/messages.h"

#include <algorithm>
#include <chrono>
#include <optional>

namespace npu_ipc::broker {
namespace {

using wire::MessageType;
using wire::Status;

// The length of the UTF-8 sequence that starts `text`, or 0 where there is none (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF).
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
      (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) {
    return 0;
  }
  return length;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

template <size_t N>
std::optional<std::string> CheckText(const char (&field)[N], const char* what) {
  if (strnlen(field, N) == N) return std::string(what) + " has no NUL";
  if (!IsUtf8(Text(field))) return std::string(what) + " is not UTF-8";
  if (HasControlCharacter(Text(field))) return std::string(what) + " has a control character";
  return std::nullopt;
}

template <size_t N>
std::optional<std::string> CheckName(const char (&field)[N], const char* what) {
  if (field[0] == '\0') return std::string(what) + " is empty";
  return CheckText(field, what);
}

// Nothing where the message is good, else what is wrong with it.
std::optional<std::string> Check(const wire::Hello& message) {
  return CheckText(message.library_version, "library_version");
}

// One to 64 printable characters and a NUL (driver: svm_shmem_node.c).
bool IsIpcKey(const uint8_t (&handle)[wire::kHandleBytes]) {
  const auto* end = std::find(std::begin(handle), std::end(handle), 0);
  return end != std::begin(handle) && end - std::begin(handle) <= 64 &&
         std::all_of(std::begin(handle), end, [](uint8_t c) { return c > ' ' && c < 0x7f; });
}

// Of Publish and of ReclaimRegion, whose fields are the same.
template <class M>
std::optional<std::string> CheckRegion(const M& message) {
  if (auto bad = CheckText(message.group, "group")) return bad;
  if (auto bad = CheckName(message.name, "name")) return bad;
  if (message.handle_kind < wire::HandleKind::kIpcKey ||
      message.handle_kind > wire::HandleKind::kOpenIpcKey) {
    return "unknown handle kind " + std::to_string(static_cast<uint32_t>(message.handle_kind));
  }
  if (wire::IsIpcKey(message.handle_kind) && !IsIpcKey(message.handle)) {
    return "the handle is not of an export key's form";
  }
  if (message.allocation_bytes == 0 || message.view_bytes == 0 ||
      message.view_offset > message.allocation_bytes ||
      message.view_bytes > message.allocation_bytes - message.view_offset) {
    return "the view (offset " + std::to_string(message.view_offset) + ", " +
           std::to_string(message.view_bytes) + " bytes) is empty or not within the allocation (" +
           std::to_string(message.allocation_bytes) + " bytes)";
  }
  return std::nullopt;
}

std::optional<std::string> Check(const wire::Publish& message) { return CheckRegion(message); }

std::optional<std::string> Check(const wire::ReclaimRegion& message) {
  if (message.generation == 0) return "no generation";
  return CheckRegion(message);
}

std::optional<std::string> Check(const wire::ReclaimMapping& message) {
  if (auto bad = CheckText(message.group, "group")) return bad;
  if (auto bad = CheckName(message.name, "name")) return bad;
  if (message.generation == 0) return "no generation";
  if (message.exporter_host_pid <= 0) return "no exporter pid";
  if (wire::IsIpcKey(message.handle_kind) && !IsIpcKey(message.handle)) {
    return "the handle is not of an export key's form";
  }
  return CheckText(message.exporter_pod_uid, "exporter_pod_uid");
}

std::optional<std::string> Check(const wire::List& message) {
  if (auto bad = CheckText(message.group, "group")) return bad;
  if (auto bad = CheckText(message.prefix, "prefix")) return bad;
  return CheckText(message.after, "after");
}

std::optional<std::string> Check(const wire::Subscribe& message) {
  if (auto bad = CheckText(message.group, "group")) return bad;
  return CheckText(message.prefix, "prefix");
}

std::optional<std::string> Check(const wire::Attach& message) {
  if (auto bad = CheckText(message.group, "group")) return bad;
  return CheckName(message.name, "name");
}

bool IsStatus(Status status) { return status >= Status::kOk && status <= wire::kLastStatus; }

std::optional<std::string> Check(const wire::Imported& message) {
  if (!IsStatus(message.status)) return "unknown status";
  return std::nullopt;
}

std::optional<std::string> Check(const wire::Admitted& message) {
  if (!IsStatus(message.status)) return "unknown status";
  return std::nullopt;
}

std::optional<std::string> Check(const wire::Rotated& message) {
  if (!IsStatus(message.status)) return "unknown status";
  if (message.status == Status::kOk && !IsIpcKey(message.handle)) {
    return "the handle is not of an export key's form";
  }
  return std::nullopt;
}

std::optional<std::string> Check(const wire::TranslatePids& message) {
  if (message.count == 0 || message.count > wire::kMaxPids) {
    return std::to_string(message.count) + " pids, not 1 to " + std::to_string(wire::kMaxPids);
  }
  return std::nullopt;
}

std::optional<std::string> Check(const wire::AskPolicy&) { return std::nullopt; }
std::optional<std::string> Check(const wire::Withdraw&) { return std::nullopt; }
std::optional<std::string> Check(const wire::Unsubscribe&) { return std::nullopt; }
std::optional<std::string> Check(const wire::PeerHeld&) { return std::nullopt; }
std::optional<std::string> Check(const wire::ReclaimDone&) { return std::nullopt; }
std::optional<std::string> Check(const wire::Closed&) { return std::nullopt; }
std::optional<std::string> Check(const wire::Detached&) { return std::nullopt; }

using Decoded = std::variant<ClientMessage, BadMessage>;

Decoded Malformed(uint64_t request_id, const std::string& what) {
  return BadMessage{request_id, {Status::kMalformed, "malformed message: " + what}};
}

template <class M>
Decoded DecodeAs(const void* packet, size_t bytes, const wire::MessageHeader& header) {
  if (bytes != sizeof(M)) {
    return Malformed(header.request_id,
                     "type " + std::to_string(static_cast<uint32_t>(header.type)) + " has " +
                         std::to_string(sizeof(M)) + " bytes, not " + std::to_string(bytes));
  }
  M message;
  memcpy(&message, packet, sizeof(M));
  if (const std::optional<std::string> bad = Check(message)) {
    return Malformed(header.request_id, *bad);
  }
  return ClientMessage(message);
}

Decoded DecodeBody(const void* packet, size_t bytes, const wire::MessageHeader& header) {
  switch (header.type) {
    case MessageType::kHello:
      return DecodeAs<wire::Hello>(packet, bytes, header);
    case MessageType::kPublish:
      return DecodeAs<wire::Publish>(packet, bytes, header);
    case MessageType::kAttach:
    case MessageType::kAttachPublished:
      return DecodeAs<wire::Attach>(packet, bytes, header);
    case MessageType::kWithdraw:
      return DecodeAs<wire::Withdraw>(packet, bytes, header);
    case MessageType::kImported:
      return DecodeAs<wire::Imported>(packet, bytes, header);
    case MessageType::kDetached:
      return DecodeAs<wire::Detached>(packet, bytes, header);
    case MessageType::kAdmitted:
      return DecodeAs<wire::Admitted>(packet, bytes, header);
    case MessageType::kList:
      return DecodeAs<wire::List>(packet, bytes, header);
    case MessageType::kSubscribe:
      return DecodeAs<wire::Subscribe>(packet, bytes, header);
    case MessageType::kUnsubscribe:
      return DecodeAs<wire::Unsubscribe>(packet, bytes, header);
    case MessageType::kReclaimRegion:
      return DecodeAs<wire::ReclaimRegion>(packet, bytes, header);
    case MessageType::kReclaimMapping:
      return DecodeAs<wire::ReclaimMapping>(packet, bytes, header);
    case MessageType::kPeerHeld:
      return DecodeAs<wire::PeerHeld>(packet, bytes, header);
    case MessageType::kReclaimDone:
      return DecodeAs<wire::ReclaimDone>(packet, bytes, header);
    case MessageType::kRotated:
      return DecodeAs<wire::Rotated>(packet, bytes, header);
    case MessageType::kClosed:
      return DecodeAs<wire::Closed>(packet, bytes, header);
    case MessageType::kTranslatePids:
      return DecodeAs<wire::TranslatePids>(packet, bytes, header);
    case MessageType::kAskPolicy:
      return DecodeAs<wire::AskPolicy>(packet, bytes, header);
    default:
      return Malformed(header.request_id,
                       "unknown type " + std::to_string(static_cast<uint32_t>(header.type)));
  }
}

Status StatusOf1_0(Status status) {
  switch (status) {
    case Status::kPolicyDenied:
      return Status::kRoleDenied;
    case Status::kNamespaceDenied:
      return Status::kNotInGroup;
    case Status::kQuotaExceeded:
      return Status::kLimit;
    case Status::kClaimContradicted:
      return Status::kMalformed;
    default:
      return status;
  }
}

}  // namespace

Decoded Decode(const void* packet, size_t bytes, bool truncated) {
  wire::MessageHeader header = {};
  constexpr size_t kVersionBytes = offsetof(wire::MessageHeader, type);
  if (bytes < kVersionBytes) return Malformed(0, std::to_string(bytes) + " bytes are no message");
  // The version comes first: what follows it is only known for versions that we know.
  memcpy(&header, packet, std::min(bytes, sizeof(header)));
  if (header.version_major != wire::kVersionMajor || header.version_minor > wire::kVersionMinor) {
    return BadMessage{
        bytes < sizeof(header) ? 0 : header.request_id,
        {Status::kVersionMismatch,
         "the message is of protocol " + std::to_string(header.version_major) + "." +
             std::to_string(header.version_minor) + ", this broker speaks " +
             std::to_string(wire::kVersionMajor) + "." + std::to_string(wire::kVersionMinor) +
             "; update the broker, or use the library that it injects"}};
  }
  if (bytes < sizeof(header)) return Malformed(0, std::to_string(bytes) + " bytes hold no header");
  if (truncated || bytes > wire::kMaxMessageBytes) {
    return Malformed(header.request_id, std::to_string(bytes) + " bytes are more than the " +
                                            std::to_string(wire::kMaxMessageBytes) +
                                            " that a message may have");
  }
  if (header.bytes != bytes) {
    return Malformed(header.request_id, "its header says " + std::to_string(header.bytes) +
                                            " bytes, the packet has " + std::to_string(bytes));
  }
  return DecodeBody(packet, bytes, header);
}

std::string_view StatusName(Status status) {
  static constexpr std::string_view kNames[] = {"ok",
                                                "malformed",
                                                "version_mismatch",
                                                "not_in_pod",
                                                "unknown_pod",
                                                "no_group",
                                                "bad_annotation",
                                                "not_in_group",
                                                "role_denied",
                                                "name_taken",
                                                "not_found",
                                                "timed_out",
                                                "exporter_gone",
                                                "exporter_failed",
                                                "limit",
                                                "unsupported",
                                                "reconnect",
                                                "shutting_down",
                                                "unreachable",
                                                "still_held",
                                                "peer_limit",
                                                "internal",
                                                "policy_denied",
                                                "namespace_denied",
                                                "quota_exceeded",
                                                "claim_contradicted"};
  const auto index = static_cast<size_t>(status);
  return index < std::size(kNames) ? kNames[index] : "internal";
}

std::string_view CutText(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

uint32_t MillisecondsUntil(TimePoint when, TimePoint now) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - now).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(left, 0, UINT32_MAX - 1));
}

wire::Refused NewRefused(uint64_t request_id, const Refusal& refusal, uint32_t speaks_minor) {
  auto refused = NewMessage<wire::Refused>(MessageType::kRefused, request_id);
  refused.header.speaks_minor = wire::kVersionMinor;
  refused.status = speaks_minor >= 1 ? refusal.status : StatusOf1_0(refusal.status);
  refused.vendor_code = refusal.vendor_code;
  PutText(refused.reason, refusal.reason);
  return refused;
}

}  // namespace npu_ipc::broker
