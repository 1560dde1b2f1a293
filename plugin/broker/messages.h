// Packets from clients, checked; texts for them, cut to fit.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <chrono>
#include <string>
#include <string_view>
#include <variant>

#include "hal/base/clock.h"
#include "runtime/protocol/wire.h"

namespace npu_ipc::broker {

// A "no" to a client: becomes wire::Refused.
struct Refusal {
  wire::Status status = wire::Status::kInternal;
  std::string reason;
  int32_t vendor_code = 0;
};

using ClientMessage =
    std::variant<wire::Hello, wire::Publish, wire::Attach, wire::Withdraw, wire::Imported,
                 wire::Detached, wire::Admitted, wire::List, wire::Subscribe, wire::Unsubscribe,
                 wire::ReclaimRegion, wire::ReclaimMapping, wire::PeerHeld, wire::ReclaimDone,
                 wire::Rotated, wire::Closed, wire::TranslatePids, wire::AskPolicy>;

// A packet that breaks a rule of wire.h: refused, and its connection ended.
struct BadMessage {
  uint64_t request_id = 0;  // as far as it could be read
  Refusal refusal;
};

// Checks one packet (`bytes` as sent, which is more than `packet` holds where `truncated`) against
// the rules of wire.h: version, type, size, texts ended and in UTF-8, names without control
// characters, enumerators in range, a view within its allocation. Pure.
std::variant<ClientMessage, BadMessage> Decode(const void* packet, size_t bytes, bool truncated);

// "kNotInPod" as "not_in_pod": for logs and metrics. Never empty.
std::string_view StatusName(wire::Status status);

// The text of a field that Decode() has checked.
template <size_t N>
std::string_view Text(const char (&field)[N]) {
  return {field, strnlen(field, N)};
}

// The longest beginning of `text` that fits `bytes` and ends between characters.
std::string_view CutText(std::string_view text, size_t bytes);

// Fills a field: cut at a character's end where it does not fit, ended and padded with NULs.
template <size_t N>
void PutText(char (&field)[N], std::string_view text) {
  const std::string_view fits = CutText(text, N - 1);
  memcpy(field, fits.data(), fits.size());
  memset(field + fits.size(), 0, N - fits.size());
}

// An empty message of type `M` with its header filled in.
template <class M>
M NewMessage(wire::MessageType type, uint64_t request_id) {
  M message = {};
  message.header.version_major = wire::kVersionMajor;
  message.header.version_minor = wire::MinorOf(type);
  message.header.type = type;
  message.header.bytes = sizeof(M);
  message.header.request_id = request_id;
  return message;
}

// Milliseconds to an instant, rounded up; 0 where it has passed.
uint32_t MillisecondsUntil(TimePoint when, TimePoint now);

// Until when an Admit or a Rotate may be carried out, as a client of that minor version takes it.
template <class M>
void SetDeadline(M& message, TimePoint deadline, TimePoint now, uint32_t speaks_minor) {
  if (speaks_minor < 2) {
    message.deadline_milliseconds = MillisecondsUntil(deadline, now);
    return;
  }
  message.header.version_minor = 2;
  const auto instant =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline.time_since_epoch());
  message.deadline_milliseconds = static_cast<uint32_t>(instant.count());
}

// For a client that speaks that minor version: what it does not know is told as what it does
// (wire.h, Status).
wire::Refused NewRefused(uint64_t request_id, const Refusal& refusal,
                         uint32_t speaks_minor = wire::kVersionMinor);

}  // namespace npu_ipc::broker
